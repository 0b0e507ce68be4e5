"""Hypermodels as users of Keras Tuner have them: nothing here knows of toprung."""

import keras
import keras_tuner


def e2(hp):
    """Experiment E2: three convolutions, tuned in filters, units, learning rate and optimizer."""
    model = keras.Sequential([keras.Input((8, 8)), keras.layers.Reshape((8, 8, 1))])
    filters = [
        hp.Int("conv_1_filters", min_value=32, max_value=64, step=16),
        hp.Int("conv_2_filters", min_value=64, max_value=128, step=32),
        64,
    ]
    for place, count in enumerate(filters):
        model.add(keras.layers.Conv2D(count, 3, padding="same"))
        model.add(keras.layers.BatchNormalization())
        model.add(keras.layers.Activation("relu"))
        if place < 2:
            model.add(keras.layers.MaxPooling2D(2))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(hp.Int("dense_units", min_value=64, max_value=128, step=32)))
    model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.Activation("relu"))
    model.add(keras.layers.Dense(10, activation="softmax"))
    rate = hp.Float("learning_rate", 1e-4, 1e-3, sampling="log")
    kind = hp.Choice("optimizer", ["adam", "sgd"])
    optimizer = keras.optimizers.Adam(rate) if kind == "adam" else keras.optimizers.SGD(rate, momentum=0.9)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model


class Scoped(keras_tuner.HyperModel):
    """Conditional scopes, a name scope, layers in a loop, and a `fit` with parameters of its own."""

    def build(self, hp):
        model = keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten()])
        kind = hp.Choice("kind", ["wide", "deep"])
        with hp.conditional_scope("kind", ["wide"]):
            if kind == "wide":
                units = hp.Int("units", 16, 64, step=2, sampling="log")
                model.add(keras.layers.Dense(units, activation="relu"))
        with hp.conditional_scope("kind", ["deep"]):
            if kind == "deep":
                with hp.name_scope("deep"):
                    for index in range(hp.Int("layers", 1, 3)):
                        model.add(keras.layers.Dense(hp.Int(f"units_{index}", 8, 16, step=8), activation="relu"))
        model.add(keras.layers.Dense(3, activation="softmax"))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        return model

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Choice("batch_size", [8, 16]), **kwargs)


class OwnLoop(keras_tuner.HyperModel):
    """A loop of its own that minds neither epochs nor `stop_training`, and compiles in `fit`."""

    def build(self, hp):
        inputs = keras.Input((4, 4))
        outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(inputs))
        return keras.Model(inputs, outputs)

    def fit(self, hp, model, x, y, validation_data, callbacks=()):
        optimizer = keras.optimizers.SGD(hp.Float("rate", 1e-3, 1e-1, sampling="log"))
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
        for callback in callbacks:
            callback.set_model(model)
        for epoch in range(2):
            model.train_on_batch(x, y)
            loss = float(model.evaluate(*validation_data, verbose=0))
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"my_loss": loss})
        return loss


class OwnEpochs(keras_tuner.HyperModel):
    """A `fit` that sets its own number of epochs, and whose model shows its data in two numbers a class."""

    def build(self, hp):
        model = keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten()])
        model.add(keras.layers.Dense(hp.Int("units", 2, 8), activation=hp.Choice("act", ["relu", "tanh"])))
        model.add(keras.layers.Dense(3, activation="softmax"))
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
        return model

    def fit(self, hp, model, *args, **kwargs):
        history = model.fit(*args, epochs=hp.Int("epochs", 1, 2), **kwargs)
        hp.Boolean("after_fit")
        return history


class Silent(keras_tuner.HyperModel):
    """A `fit` that never calls a callback and returns a number."""

    def build(self, hp):
        model = keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten(), keras.layers.Dense(3)])
        hp.Int("n", 1, 3)
        return model

    def fit(self, hp, model, x, y, **kwargs):
        return 0.25


def late(hp):
    """Asks for more where two choices meet, which no look at one at a time shows."""
    model = keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten()])
    first, second = hp.Boolean("first"), hp.Boolean("second")
    if first and second:
        model.add(keras.layers.Dropout(hp.Float("rare", 0.1, 0.5)))
    model.add(keras.layers.Dense(3, activation="softmax"))
    model.compile("sgd", "categorical_crossentropy")
    return model
