"""Runs in the environment `mediapipe`: {"model": file, "images": file.npy} -> [label, score] of the best, for each.

`images`: uint8 (N, H, W, 3).
"""

import json
import sys

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions

request = json.load(sys.stdin)
options = ImageClassifierOptions(base_options=BaseOptions(model_asset_path=request["model"]), max_results=1)
best = []
with ImageClassifier.create_from_options(options) as classifier:
    for image in np.load(request["images"]):
        found = classifier.classify(mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(image)))
        top = found.classifications[0].categories[0]
        best.append([top.category_name, float(top.score)])
print(json.dumps(best))
