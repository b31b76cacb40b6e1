"""Run by Keras' own Python: writes one small network twice, by tf2onnx and by Keras itself. Argument: a folder."""

import sys
from pathlib import Path

import tensorflow as tf
import tf2onnx

layers = tf.keras.layers
folder = Path(sys.argv[1])
tf.keras.utils.set_random_seed(0)
image = tf.keras.Input((32, 32, 3), name="image")
x = layers.Rescaling(2.0, -1.0)(image)
x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(x)))
x = layers.ReLU()(layers.Conv2D(12, 3, padding="same")(layers.MaxPooling2D()(x)))
x = layers.Activation("swish")(layers.DepthwiseConv2D(3, padding="same", strides=2)(x))
x = layers.GlobalAveragePooling2D()(layers.ReLU(6)(layers.Conv2D(16, 1)(x)))
model = tf.keras.Model(image, layers.Dense(5, activation="softmax", kernel_initializer="random_normal")(x))
model.layers[-1].set_weights([200 * w for w in model.layers[-1].get_weights()])  # answers that differ
signature = (tf.TensorSpec((None, 32, 32, 3), tf.float32, name="image"),)
function = tf.function(lambda image: model(image, training=False), input_signature=signature)
converted, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)
(folder / "tf2onnx.onnx").write_bytes(converted.SerializeToString())
model.export(str(folder / "keras.onnx"), format="onnx")
