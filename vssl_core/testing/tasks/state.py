"""Checks of state: what `forward` may change, what stands in the state dict, who follows whom."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from vssl_core.checkpoint import load_latest, optimizer_tensors, restore_optimizer, save_checkpoint
from vssl_core.interfaces import PretextTask
from vssl_core.optim import build_optimizer, set_rate
from vssl_core.protocol import Optimizer
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.tasks.steps import (
    adamw,
    backward,
    copy_of,
    differing,
    forward,
    is_batch_statistic,
    listed,
    progress,
    same_bits,
    seed_everything,
    state_of,
    train_step,
)
from vssl_core.testing.tasks.subject import Batch, TaskSubject, load_views
from vssl_core.testing.tasks.videos import folder, moving_videos

__all__ = ["CHECKS"]

FIRST_STEPS = 3  # of eight videos each: a queue of twenty then ends in its middle
MORE_STEPS = 3
OPTIMIZER = Optimizer(name="adamw", lr=1e-3)


def check_forward_leaves_its_input_alone(subject: TaskSubject) -> None:
    """Views and information are the same after forward and backward as before."""
    task = subject.task()
    for mode in (True, False):
        views, info = subject.batch()
        before = copy_of((views, info))
        given = dict(views), dict(info)
        seed_everything(0)
        output = task.train(mode)(*given)
        if mode:
            backward(output)
        for what, now, was, given_now in zip(("views", "info"), (views, info), before, given, strict=True):
            changed = [f"{what}[{key!r}]" for key in differing(now, was)]
            changed += [f"the keys of {what}"] if given_now.keys() != was.keys() else []
            changed += [f"{what}[{k!r}]" for k in was if given_now.get(k) is not now[k]]
            if changed:
                raise CheckFailed(
                    f"expected forward to leave its input as it is, but it changed {listed(changed)}; work "
                    "on a copy, without operations that end in _."
                )


def check_forward_changes_no_state(subject: TaskSubject) -> None:
    """Only BatchNorm statistics move, and only in training; what was seen before does not change the loss."""
    task, batch, other = subject.task(), subject.batch(), subject.batch(epoch=1)
    task.before_step(progress(0))
    for mode in (True, False):
        before, switches = state_of(task), _switches(task.train(mode))
        expected = forward(task, batch, train=mode).loss.detach()
        if toggled := [name for name, value in _switches(task).items() if switches.get(name) != value]:
            raise CheckFailed(
                "expected forward to leave modes and gradients to the core, but it changed "
                f"{listed(toggled)}; the core calls backward, the optimiser, train() and eval()."
            )
        changed = differing(before, state_of(task))
        if mode:
            changed = [name for name in changed if not is_batch_statistic(name)]
        if changed:
            where = "training" if mode else "evaluation"
            raise CheckFailed(
                "expected forward to change no state in "
                f"{where}{' but BatchNorm statistics' if mode else ''}; it changed {listed(changed)}. Queues "
                "and averages move in before_step or after_step."
            )
        forward(task, other, train=mode)
        _restore(task, before)
        if not same_bits(forward(task, batch, train=mode).loss.detach(), expected):
            raise CheckFailed(
                "expected the loss of a batch to depend on parameters and buffers alone, but after another "
                "batch it is another one; forward remembers something between calls."
            )
        _restore(task, before)


def _switches(task: PretextTask) -> dict[str, bool]:
    """Modes of the task and its backbone, and which parameters are trained and have a gradient."""
    modes = {"training": task.training, "backbone.training": task.backbone.training}
    trained = {f"requires_grad of {name}": p.requires_grad for name, p in task.named_parameters()}
    gradients = {f"the gradient of {name}": p.grad is not None for name, p in task.named_parameters()}
    return modes | trained | gradients


def _restore(task: PretextTask, state: Mapping[str, Tensor]) -> None:
    """Put back parameters and buffers, those too that the state dict leaves out."""
    named = {**dict(task.named_parameters()), **dict(task.named_buffers())}
    with torch.no_grad():
        for name, value in named.items():
            value.copy_(state[name])


def check_held_out_evaluation_changes_nothing(subject: TaskSubject) -> None:
    """Training goes on with the same bits, whether held-out videos were evaluated in between or not."""
    found = []
    for evaluated in (False, True):
        task = subject.task()
        optimizer = adamw(task)
        train_step(task, subject.batch(), optimizer, step=0)
        if evaluated:
            for epoch in (5, 6):
                forward(task, subject.batch(epoch=epoch), step=50 + epoch)
        loss = train_step(task, subject.batch(epoch=1), optimizer, step=1).loss.detach()
        found.append({"the loss of the next step": loss, **state_of(task)})
    if wrong := differing(*found):
        raise CheckFailed(
            "expected evaluation on held-out videos to leave no trace, but with it another step ends "
            f"otherwise: {listed(wrong)} differ. Keep what after_step needs only `if self.training`."
        )


# ------------------------------------------------------------------------------------- state dict


def check_state_dict_reproduces_the_loss_and_the_next_step(subject: TaskSubject) -> None:
    """A new task of other random weights, given the state dict, has the same loss and trains alike."""
    going, batches = subject.task(), [subject.batch(epoch=epoch) for epoch in range(FIRST_STEPS + MORE_STEPS)]
    optimizer = adamw(going)
    for step in range(FIRST_STEPS):
        train_step(going, batches[step], optimizer, step=step)
    restored = subject.task(seed=1)
    content = to_bytes({name: value.clone().contiguous() for name, value in going.state_dict().items()})
    restored.load_state_dict(from_bytes(content))
    for mode in (False, True):
        before = state_of(going), state_of(restored)
        losses = [forward(task, batches[-1], train=mode).loss.detach() for task in (going, restored)]
        if not same_bits(*losses):
            raise CheckFailed(
                "expected a task that was given the state dict of another to have its loss, "
                f"{float(losses[0]):.6g}; got {float(losses[1]):.6g}. All state belongs in parameters and "
                "buffers."
            )
        for task, state in zip((going, restored), before, strict=True):
            _restore(task, state)
    _train_alike(going, restored, batches)


def _train_alike(going: PretextTask, restored: PretextTask, batches: list[Batch]) -> None:
    """Take the same steps with both, from fresh optimisers."""
    optimizers = [adamw(going), adamw(restored)]
    for step in range(FIRST_STEPS, FIRST_STEPS + MORE_STEPS):
        losses = [
            train_step(task, batches[step], optimizer, step=step).loss.detach()
            for task, optimizer in zip((going, restored), optimizers, strict=True)
        ]
        wrong = differing(going.state_dict(), restored.state_dict())
        if wrong or not same_bits(*losses):
            raise CheckFailed(
                "expected a task that was given the state dict of another to take the same steps, but "
                f"{listed(wrong) or 'the loss'} differ after one. Averages, queues, pointers and counters "
                "belong in buffers, not in Python attributes."
            )


def check_resume_equals_uninterrupted(subject: TaskSubject) -> None:
    """Stopped and gone on from a checkpoint, training ends with the bits of an undisturbed one."""
    calm = subject.task()
    _train(subject, calm, build_optimizer(calm, OPTIMIZER), range(4))
    stopped = subject.task()
    optimizer = build_optimizer(stopped, OPTIMIZER)
    _train(subject, stopped, optimizer, range(2))
    tensors = {f"task.{name}": value for name, value in stopped.state_dict().items()}
    save_checkpoint(folder() / "checkpoints", 2, tensors | optimizer_tensors(optimizer), {})
    found = load_latest(folder() / "checkpoints")
    assert found is not None
    resumed = subject.task()
    resumed.load_state_dict(
        {k.removeprefix("task."): v for k, v in found[0].items() if k.startswith("task.")}
    )
    optimizer = build_optimizer(resumed, OPTIMIZER)
    restore_optimizer(optimizer, found[0])
    _train(subject, resumed, optimizer, range(2, 4))
    if wrong := differing(calm.state_dict(), resumed.state_dict()):
        raise CheckFailed(
            f"expected a resumed training to end with the bits of an undisturbed one, but {listed(wrong)} "
            "differ; state that is not in parameters and buffers, or draws that go by more than the step, "
            "are lost."
        )


def _train(subject: TaskSubject, task: PretextTask, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Steps of a training, each with its own videos; held-out videos after each second one."""
    pipeline = subject.pipeline()
    for step in steps:
        set_rate(optimizer, OPTIMIZER, progress(step).fraction)
        train_step(task, load_views(pipeline, moving_videos(), epoch=step), optimizer, step=step)
        if step % 2:
            forward(task, load_views(pipeline, moving_videos(), epoch=-1), step=step)


CHECKS = (
    check_forward_leaves_its_input_alone,
    check_forward_changes_no_state,
    check_held_out_evaluation_changes_nothing,
    check_state_dict_reproduces_the_loss_and_the_next_step,
    check_resume_equals_uninterrupted,
)
