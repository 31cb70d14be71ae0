"""What a monitor said: written to a file, and served as a monitor again.

============ =========================================================================
tape         the file: JSON lines, read with care
scrub        what of a line goes into a file that is sent to others
kept         the list of what does
writer       lines to a file or a pipe, without anybody waiting for it
record       ``qmp-exporter record``
event        one event, kept to the byte
conversation one client of a monitor: bytes in, replies out
state        a machine as its events and replies tell of it
display      its VNC and SPICE servers
monitor      plays events and replies to whoever connects
replay       ``qmp-exporter replay``
============ =========================================================================

`record` is a session of the exporter whose sink is a file. All else here knows nothing of the
exporter but its errors.
"""
