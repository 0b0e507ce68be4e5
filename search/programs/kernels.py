"""Parts of Keras's training step as single kernels of TensorFlow, which Keras spells out in twenty operations.

The kernels compute what Keras does up to rounding, and a step's tracing and running take less time: a convolutional
network with batch normalisation trains half as fast again. What has no kernel of its own stays Keras's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.eager import record

from search.optimizers import VariableRMSprop, VariableSGD
from search.scalars import VariableDropout, VariablePenalty

_ALGORITHM = tf.random.Algorithm.AUTO_SELECT.value  # as in tf.random.stateless_uniform, which Keras calls

Gradient = Callable[[tf.Tensor], tf.Tensor]
"""From the loss's gradient by an operation's output to that by its input."""

Update = Callable[[int, tf.Variable, tf.Tensor], None]
"""Changes a weight, given its place in the optimizer, itself and its gradient."""


def use_in_layers(model: keras.Model) -> None:
    """Let a model's layers compute by kernels where there are any."""
    for layer in model._flatten_layers():
        _use_in_layer(layer)


def use_in_metrics(model: keras.Model) -> None:
    """Let a compiled model, its metrics built, sum up its loss and its accuracy in few operations."""
    if type(model).compute_loss is keras.Model.compute_loss and model._compile_loss is not None:
        model.__dict__["compute_loss"] = partial(_total_loss, model)
    tracker = model._loss_tracker
    tracker.__dict__["update_state"] = partial(_add_loss, tracker, tracker.update_state)
    if getattr(model.layers[-1], "activation", None) is keras.activations.softmax:
        for metric in model._compile_metrics.metrics:
            if type(metric) is keras.metrics.SparseCategoricalAccuracy:
                metric.__dict__["update_state"] = partial(_count_hits, metric, metric.update_state)


def make_room(optimizer: Any) -> None:
    """Give what a kernel of an optimizer writes and nobody reads the shapes of the weights: others may have used it."""
    for velocity, variable in zip(optimizer._velocities, optimizer.scratch, strict=True):
        variable.assign(tf.zeros_like(velocity.value))


def _use_in_layer(layer: Any) -> None:
    for weight in layer.weights:
        if type(weight.regularizer) is VariablePenalty:
            weight.regularizer = _Penalty(weight.regularizer.l1, weight.regularizer.l2)
    if vars(layer).get("activation") is keras.activations.silu:  # a recurrent layer has its cell's
        layer.activation = _silu
    kind = type(layer)
    if kind is VariableDropout:
        layer.__dict__["call"] = partial(_drop, layer)
    elif kind is keras.layers.Dense and layer.bias is not None and not (layer.lora_enabled or layer.quantization_mode):
        layer.__dict__["call"] = partial(_connect, layer)
    elif kind is keras.layers.Conv2D and has_plain_convolution(layer):
        layer.__dict__["call"] = partial(_convolve, layer)
    elif kind is keras.layers.BatchNormalization and _has_kernel(layer):
        layer.__dict__["call"] = partial(_normalise, layer)


def use_for_updates(optimizer: Any) -> None:
    """Let an optimizer, once it is built, change weights by a kernel if there is one."""
    rule = getattr(optimizer, "inner_optimizer", optimizer)  # inside of a loss scale
    make = _KERNELS.get(type(rule))
    if make is None or any(getattr(rule, option, False) for option in ("amsgrad", "centered")):
        return
    if type(rule) is keras.optimizers.RMSprop:
        if rule.momentum:
            return
        # the kernel writes its step somewhere even where no momentum will read it
        rule.scratch = [
            tf.Variable(tf.zeros(velocity.shape), trainable=False, shape=velocity.value.shape)
            for velocity in rule._velocities
        ]
    rule._backend_update_step = partial(_update, rule, make)


def _update(
    rule: keras.optimizers.Optimizer,
    make: Callable[[Any, tf.Tensor], Update],
    gradients: Sequence[Any],
    weights: Sequence[Any],
    learning_rate: Any,
) -> None:
    """Keras's `_backend_update_step` without its distribution over devices."""
    kernel = make(rule, tf.cast(learning_rate, tf.float32))
    for gradient, weight in zip(gradients, weights, strict=True):
        variable = weight.value if isinstance(weight, keras.Variable) else weight
        if isinstance(gradient, tf.Tensor) and variable.dtype == tf.float32:
            kernel(rule._get_variable_index(weight), variable, tf.cast(gradient, tf.float32))
        else:
            rule.update_step(gradient, variable, learning_rate)


def _adam(rule: Any, learning_rate: tf.Tensor) -> Update:
    """Adam and AdamW, whose weight decay Keras applies before."""
    step = tf.cast(rule.iterations + 1, tf.float32)  # no variable where gradients accumulate
    beta_1, beta_2, epsilon = (tf.constant(number, tf.float32) for number in (rule.beta_1, rule.beta_2, rule.epsilon))
    rest = {
        "lr": learning_rate,
        "beta1": beta_1,
        "beta2": beta_2,
        "beta1_power": tf.pow(beta_1, step),
        "beta2_power": tf.pow(beta_2, step),
        "epsilon": epsilon,
    }

    def update(index: int, weight: tf.Variable, gradient: tf.Tensor) -> None:
        m, v = _handle(rule._momentums[index]), _handle(rule._velocities[index])
        tf.raw_ops.ResourceApplyAdam(var=weight.handle, m=m, v=v, grad=gradient, **rest)

    return update


def _descent(rule: Any, learning_rate: tf.Tensor) -> Update:
    """Plain gradient descent, and with a momentum."""
    if isinstance(rule, VariableSGD):
        momentum = rule.momentum_variable.value
    elif rule.momentum:
        momentum = tf.constant(rule.momentum, tf.float32)
    else:
        return lambda index, weight, gradient: tf.raw_ops.ResourceApplyGradientDescent(
            var=weight.handle, alpha=learning_rate, delta=gradient
        )

    def update(index: int, weight: tf.Variable, gradient: tf.Tensor) -> None:
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=weight.handle,
            accum=_handle(rule.momentums[index]),
            lr=learning_rate,
            grad=gradient,
            momentum=momentum,
            use_nesterov=rule.nesterov,
        )

    return update


def _rmsprop(rule: Any, learning_rate: tf.Tensor) -> Update:
    """RMSprop, with a momentum or without."""
    if isinstance(rule, VariableRMSprop):
        momentum, increments = rule.momentum_variable.value, [variable.value for variable in rule.increments]
    else:
        momentum, increments = tf.constant(0.0), rule.scratch

    rho, epsilon = (tf.constant(number, tf.float32) for number in (rule.rho, rule.epsilon))

    def update(index: int, weight: tf.Variable, gradient: tf.Tensor) -> None:
        tf.raw_ops.ResourceApplyRMSProp(
            var=weight.handle,
            ms=_handle(rule._velocities[index]),
            mom=increments[index].handle,
            lr=learning_rate,
            rho=rho,
            momentum=momentum,
            epsilon=epsilon,
            grad=gradient,
        )

    return update


def _has_kernel(layer: Any) -> bool:
    rank = len(layer.input_spec.axes) and layer.input_spec.ndim
    last = layer.axis in (-1, rank - 1)
    return last and rank in (2, 4) and layer.scale and layer.center and not layer.renorm and not layer.synchronized


def _normalise(layer: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """Batch normalisation of inputs of shape (rows, channels) or (rows, height, width, channels)."""
    if not training or not layer.trainable or mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    x = tf.cast(inputs, tf.float32)
    images = x if len(x.shape) == 4 else x[:, None, None, :]
    done = tf.raw_ops.FusedBatchNormV3(
        x=images, scale=layer.gamma.value, offset=layer.beta.value, mean=[], variance=[], epsilon=layer.epsilon
    )
    count = tf.cast(tf.size(images) // tf.size(layer.gamma.value), tf.float32)
    variance = done.batch_variance * ((count - 1) / count)  # the kernel divides by count - 1, Keras by count
    keep = layer.momentum
    layer.moving_mean.assign(layer.moving_mean * keep + done.batch_mean * (1 - keep))
    layer.moving_variance.assign(layer.moving_variance * keep + variance * (1 - keep))
    return tf.cast(tf.reshape(done.y, tf.shape(inputs)), layer.compute_dtype)


def _connect(layer: Any, inputs: Any, training: bool | None = None) -> Any:
    """A dense layer. Keras adds the bias by the kernel only where it knows the width."""
    outputs = keras.ops.matmul(inputs, layer.kernel)
    outputs = tf.nn.bias_add(outputs, keras.ops.convert_to_tensor(layer.bias))
    return outputs if layer.activation is None else layer.activation(outputs)


def has_plain_convolution(layer: Any) -> bool:
    """Whether a layer's convolution is a kernel of TensorFlow's."""
    plain = layer.groups == 1 and layer.data_format == "channels_last"
    return plain and not (layer.lora_enabled or layer.quantization_mode)


def _convolve(layer: Any, inputs: Any) -> Any:
    """A convolution. Keras asks XLA for one whose channels it doesn't know, and adds the bias by no kernel."""
    kernel = keras.ops.convert_to_tensor(layer.kernel)
    outputs = tf.nn.convolution(
        inputs, kernel, layer.strides, layer.padding.upper(), data_format="NHWC", dilations=layer.dilation_rate
    )
    if layer.use_bias:
        outputs = tf.nn.bias_add(outputs, keras.ops.convert_to_tensor(layer.bias))
    return outputs if layer.activation is None else layer.activation(outputs)


def _drop(layer: VariableDropout, inputs: Any, training: bool = False) -> Any:
    """Dropout with the draws of `keras.random.uniform`, without stretching them from 0..1 to 0..1."""
    if not training:
        return inputs
    seed = tf.cast(tf.math.floormod(layer.seed_generator.next(), tf.int32.max - 1), tf.int32)
    draws = _uniform(tf.shape(inputs), seed, inputs.dtype)
    rate, _, factor = tf.unstack(tf.cast(layer.numbers.value, inputs.dtype))
    return _scaled(inputs, tf.cast(draws >= rate, inputs.dtype) * factor)


def _scaled(x: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """A product of equal shapes; TensorFlow's own gradient looks for what was broadcast, at each step."""
    return _with_gradient(x, lambda: x * factors, lambda gradient: gradient * factors)


def _silu(x: Any) -> tf.Tensor:
    """TensorFlow's own is a custom gradient; see `_with_gradient`."""
    x = tf.convert_to_tensor(x)
    share = tf.sigmoid(x)
    return _with_gradient(x, lambda: x * share, lambda gradient: gradient * (share * (1 + x * (1 - share))))


def _with_gradient(x: tf.Tensor, compute: Callable[[], tf.Tensor], gradient: Gradient) -> tf.Tensor:
    """What is computed of x, with a gradient of its own.

    `tf.custom_gradient` would keep the graph for as long as the process lives: it gives each use of it in a graph a
    name that TensorFlow never forgets. A tape forgets.
    """
    with record.stop_recording():
        y = compute()
    record.record_operation("toprung", [y], [x], lambda of_y: [gradient(of_y)])
    return y


class _Penalty(VariablePenalty):
    """A penalty whose gradient isn't first stretched over the weights, as TensorFlow's of a sum is."""

    def __call__(self, x: Any) -> tf.Tensor:
        weights = tf.convert_to_tensor(x)
        sums = ((self.l1, _absolute_sum), (self.l2, _square_sum))
        terms = [tf.cast(rate, weights.dtype) * sum_of(weights) for rate, sum_of in sums if rate is not None]
        return tf.add_n(terms) if len(terms) > 1 else terms[0]


def _absolute_sum(x: tf.Tensor) -> tf.Tensor:
    return _with_gradient(x, lambda: tf.reduce_sum(tf.abs(x)), lambda gradient: gradient * tf.sign(x))


def _square_sum(x: tf.Tensor) -> tf.Tensor:
    return _with_gradient(x, lambda: tf.reduce_sum(tf.square(x)), lambda gradient: (2 * gradient) * x)


def _uniform(shape: tf.Tensor, seed: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    return tf.raw_ops.StatelessRandomUniformV2(shape=shape, key=key, counter=counter, alg=_ALGORITHM, dtype=dtype)


def _total_loss(
    model: Any, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
) -> tf.Tensor:
    """Keras's `compute_loss`, without a sum over what is a number already."""
    loss = model._compile_loss(y, y_pred, sample_weight)
    more = [tf.cast(term if term.shape.rank == 0 else tf.reduce_sum(term), loss.dtype) for term in model.losses]
    return tf.add_n([loss, *more]) if more else loss


def _add_loss(metric: Any, by_keras: Callable[..., None], value: Any, sample_weight: Any = None) -> None:
    """Add a batch's loss as often as the batch has rows: the update of Keras's `Mean` for two numbers."""
    value = tf.convert_to_tensor(value)
    if sample_weight is None or value.shape.rank != 0:
        by_keras(value, sample_weight)
    else:
        rows = tf.cast(sample_weight, metric.total.dtype)
        _add(metric, tf.cast(value, rows.dtype) * rows, rows)


def _count_hits(metric: Any, by_keras: Callable[..., None], y: Any, outputs: Any, sample_weight: Any = None) -> None:
    """Count the rows whose label has the largest probability; Keras tells 0 from -0, which no probability is."""
    if sample_weight is not None or y.shape.rank != 1:
        by_keras(y, outputs, sample_weight)
    else:
        labels = tf.cast(y, tf.int64)
        hits = tf.cast(tf.equal(tf.argmax(outputs, axis=-1), labels), metric.total.dtype)
        _add(metric, tf.reduce_sum(hits), tf.cast(tf.size(labels), hits.dtype))


def _add(metric: Any, total: tf.Tensor, count: tf.Tensor) -> None:
    metric.total.value.assign_add(total, read_value=False)
    metric.count.value.assign_add(count, read_value=False)


def _handle(variable: Any) -> tf.Tensor:
    return variable.value.handle


_KERNELS: dict[type, Callable[[Any, tf.Tensor], Update]] = {
    keras.optimizers.Adam: _adam,
    keras.optimizers.AdamW: _adam,
    keras.optimizers.SGD: _descent,
    VariableSGD: _descent,
    keras.optimizers.RMSprop: _rmsprop,
    VariableRMSprop: _rmsprop,
}
