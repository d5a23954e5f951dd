"""All that runs on a target: numpy, Pillow and one TFLite runtime, Python 3.9 syntax, nothing else of edgebig."""
