"""What is known of a VM, and how events change it: pure, without a loop, a clock or a socket."""
