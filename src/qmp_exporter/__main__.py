"""``python -m qmp_exporter``."""

import sys

from qmp_exporter.cli import main


sys.exit(main())
