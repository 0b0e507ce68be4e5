"""Models and hypermodels of all the forms in which users have them: nothing here knows of toprung."""

import keras
import keras_tuner


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


def doubled(x):
    return 2 * x


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


class Nameless(keras.metrics.Metric):
    def update_state(self, *arguments, **options):
        pass

    def result(self):
        return keras.ops.zeros(())


class Counting(keras.Model):
    """Has a metric of its own that it gave no name."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen = Nameless()

    def train_step(self, *arguments):
        return super().train_step(*arguments)


def counting(params, input_shape, classes):
    return functional(input_shape, classes, Counting)


def auc(hp):
    model = functional((4, 4), 3)
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy", keras.metrics.AUC()])
    return model


class CompilesInFit(keras_tuner.HyperModel):
    def build(self, hp):
        return functional((4, 4), 3)

    def fit(self, hp, model, x, y, **options):
        metrics = ["accuracy", Nameless()]
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics, jit_compile=False)
        return model.fit(x, y, **options)


class Dropping(keras_tuner.HyperModel):
    """Trains by its own fit, with dropout."""

    def build(self, hp):
        inputs, flatten, dense = layers((4, 4), 3)
        model = keras.Sequential([inputs, flatten, keras.layers.Dropout(0.5), dense])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        return model

    def fit(self, hp, model, *arguments, **options):
        return model.fit(*arguments, batch_size=16, **options)


class Subclassed(keras.Model):
    """Layers in __init__, logic in call: it has no inputs before it sees some."""

    def __init__(self, units):
        super().__init__()
        self.flatten = keras.layers.Flatten()
        self.hidden = keras.layers.Dense(units, activation="relu")
        self.outputs_of = keras.layers.Dense(3, activation="softmax")

    def call(self, inputs):
        return self.outputs_of(self.hidden(self.flatten(inputs)))


def subclassed(hp):
    model = Subclassed(8)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


class SubclassedWithFit(keras_tuner.HyperModel):
    def build(self, hp):
        return subclassed(hp)

    def fit(self, hp, model, *arguments, **options):
        return model.fit(*arguments, batch_size=16, **options)


def with_loss(loss, **options):
    model = functional((4, 4), 3)
    model.compile(keras.optimizers.SGD(0.1), loss, **{"metrics": ["accuracy"], **options})
    return model


def sparse(hp):
    return with_loss("sparse_categorical_crossentropy")


def renamed_loss(hp):
    return with_loss(keras.losses.SparseCategoricalCrossentropy(name="ce"))


def one_hot(hp):
    return with_loss("categorical_crossentropy")


def listed_loss(hp):
    return with_loss(["categorical_crossentropy"], metrics=[["accuracy"]])


def loss_by_output(hp):
    inputs = keras.Input((4, 4))
    outputs = keras.layers.Dense(3, activation="softmax", name="out")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    losses, metrics = {"out": "categorical_crossentropy"}, {"out": ["accuracy"]}
    model.compile(keras.optimizers.SGD(0.1), losses, metrics=metrics)
    return model


def weighted_loss(hp):
    return with_loss("sparse_categorical_crossentropy", loss_weights=[0.1])


class WeightedLossWithFit(keras_tuner.HyperModel):
    def build(self, hp):
        return weighted_loss(hp)

    def fit(self, hp, model, *arguments, **options):
        return model.fit(*arguments, batch_size=16, **options)


def own_step(hp):
    model = functional((4, 4), 3, OwnStep)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model


def two_inputs(hp):
    one, other = keras.Input((4, 4)), keras.Input((4, 4))
    model = keras.Model([one, other], functional((4, 4), 3)(keras.layers.Add()([one, other])))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def no_model(hp):
    return None


def two_classes(hp):
    model = functional((4, 4), 2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def not_compiled(hp):
    return functional((4, 4), 3)
