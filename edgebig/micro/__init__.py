"""Microcontrollers on this machine: TFLite Micro's interpreter and Arm's Vela, in environments of their own."""
