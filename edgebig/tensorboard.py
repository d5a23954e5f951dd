"""A training's history as event files for TensorBoard."""

from __future__ import annotations

from pathlib import Path

from edgebig.errors import EdgebigError
from edgebig.keras import keras, tf


class EventFiles(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types.
    """The history as event files. Keras's own callback needs the package tensorboard to write, not only to look."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.writer = tf.summary.create_file_writer(str(folder))
        self.metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        try:
            with self.writer.as_default():
                for name, value in logs.items():
                    value = tf.constant(value, tf.float32)
                    tf.summary.write(name, value, step=epoch + 1, metadata=self.metadata)
            self.writer.flush()
        except tf.errors.OpError as error:  # A full disk, by TensorFlow's own way to write.
            raise EdgebigError(
                f"{self.folder}: cannot be written ({error.message.splitlines()[0]})",
                "free some space and go on with --resume, or without --tensorboard",
            ) from error
