// The way to the camera: whether there may be one, and in words for people why there is none.

export function stopTracks(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

// Why there is no camera here at all; null where there may be one.
export function unavailable() {
  if (!self.isSecureContext) {
    return (
      "No live camera here: browsers give it to https and localhost only, and this page came over plain http. " +
      "Photographs, drawing and the bench work."
    );
  }
  if (!navigator.mediaDevices?.getUserMedia)
    return "No live camera here: this browser has no access to one. Photographs work.";
  return null;
}

const WHY = {
  NotAllowedError: "The camera was not allowed. Allow it for this page in the browser's settings, then start it again.",
  SecurityError: "The browser's settings forbid this page the camera. Photographs work.",
  NotFoundError: "This device has no camera that the browser knows of. Photographs and drawing work.",
  OverconstrainedError: "That camera is gone. Start it again for another one.",
  NotReadableError: "The camera is there, but another app uses it. Close that one, then start it again.",
  AbortError: "The camera did not start. Start it again.",
};

export function why(error) {
  return WHY[error.name] ?? `The camera did not start: ${error.message}`;
}
