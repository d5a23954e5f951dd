"""Runs in the environment `tflite-runtime`: {"model": file, "images": file.npy} -> what comes out for each picture."""

import json
import sys

import numpy as np
from tflite_runtime.interpreter import Interpreter

request = json.load(sys.stdin)
interpreter = Interpreter(model_path=request["model"], num_threads=1)
interpreter.allocate_tensors()
taken, given = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
rows = []
for image in np.load(request["images"]):
    interpreter.set_tensor(taken, image[None])
    interpreter.invoke()
    rows.append(interpreter.get_tensor(given).reshape(-1).tolist())
print(json.dumps(rows))
