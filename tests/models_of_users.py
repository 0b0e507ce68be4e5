"""Models and hypermodels of all the forms in which users have them: nothing here knows of toprung."""

import keras


def layers(input_shape, classes):
    return [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(classes, activation="softmax")]


def functional(input_shape, classes, kind=keras.Model):
    inputs, *rest = layers(input_shape, classes)
    outputs = inputs
    for layer in rest:
        outputs = layer(outputs)
    return kind(inputs, outputs)


class OwnStep(keras.Model):
    def train_step(self, *arguments):
        return super().train_step(*arguments)


def sequential(params, input_shape, classes):
    return keras.Sequential(layers(input_shape, classes))


def compiled(params, input_shape, classes):
    model = functional(input_shape, classes)
    model.compile("rmsprop", "sparse_categorical_crossentropy")
    return model


def compiled_with_own_step(params, input_shape, classes):
    model = functional(input_shape, classes, OwnStep)
    model.compile("rmsprop", "sparse_categorical_crossentropy")
    return model
