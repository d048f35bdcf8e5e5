"""What both command lines share: flags, words, exit codes. The only place that prints or exits."""
