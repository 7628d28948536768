"""Tasks with one bug each in what they keep and in how they behave."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from planted_tasks import Arrow, caught_by

# ----------------------------------------------------------------------------------- state and conduct


@caught_by("check_forward_leaves_its_input_alone")
class NormalisesInPlace(Arrow):
    def clip(self, views, info):
        return views["clip"].sub_(views["clip"].mean())


@caught_by("check_forward_leaves_its_input_alone")
class TakesViewsAway(Arrow):
    def clip(self, views, info):
        return views.pop("clip")


@caught_by("check_forward_changes_no_state")
class RemembersFeatures(Arrow):
    def forward(self, views, info):
        features_BD = self.backbone(views["clip"])
        last, self.last = getattr(self, "last", 0.0), features_BD.detach().mean(dim=0)
        return self.answer(self.head(features_BD + 0.1 * last), info)


@caught_by("check_forward_changes_no_state")
class CallsBackward(Arrow):
    def loss(self, logits_BK, target_B):
        loss = super().loss(logits_BK, target_B)
        if self.training:
            loss.backward(retain_graph=True)
        return loss


@caught_by("check_forward_changes_no_state")
class StaysInEvaluation(Arrow):
    def forward(self, views, info):
        self.backbone.eval()
        return super().forward(views, info)


@caught_by("check_state_dict_reproduces_the_loss_and_the_next_step")
@caught_by("check_resume_equals_uninterrupted")
class CountsByItself(Arrow):
    steps = 0

    def after_step(self, progress):
        self.steps += 1

    def loss(self, logits_BK, target_B):
        return super().loss(logits_BK, target_B) * min(1.0, 0.1 + 0.1 * self.steps)


@caught_by("check_resume_equals_uninterrupted")
class OwnGenerator(Arrow):
    """Masks features by a generator of its own, whose state is in no checkpoint."""

    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, views, info):
        features_BD = self.backbone(views["clip"])
        kept_BD = torch.rand(features_BD.shape, generator=self.generator) > 0.2
        return self.answer(self.head(features_BD * kept_BD), info)


@caught_by("check_global_generators_are_not_seeded")
class SeedsTorch(Arrow):
    def forward(self, views, info):
        torch.manual_seed(0)
        return super().forward(views, info)


@caught_by("check_global_generators_are_not_seeded")
class SeedsNumpyWhenBuilt(Arrow):
    def __init__(self, make_backbone, options, context):
        np.random.seed(1)
        super().__init__(make_backbone, options, context)


@caught_by("check_settings_of_the_process_are_left_alone")
class SetsThreads(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        torch.set_num_threads(2)


@caught_by("check_no_file_is_written")
class WritesAFile(Arrow):
    def after_step(self, progress):
        torch.save({"step": progress.step}, Path(tempfile.gettempdir()) / "vssl-planted.pt")


@caught_by("check_no_socket_is_opened")
class AsksTheNetwork(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        with socket.socket() as one:
            one.connect_ex(("127.0.0.1", 9))


@caught_by("check_no_socket_is_opened")
class ListensAtAPort(Arrow):
    def after_step(self, progress):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))


@caught_by("check_no_socket_is_opened")
class StartsAProgram(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        subprocess.run(["true"], check=True)


@caught_by("check_no_file_is_written")
class KeepsALog(Arrow):
    def forward(self, views, info):
        with (Path(tempfile.gettempdir()) / "vssl-planted.log").open("a", encoding="utf-8") as log:
            log.write("forward")
        return super().forward(views, info)


@caught_by("check_settings_of_the_process_are_left_alone")
class TurnsGradientsOff(Arrow):
    def forward(self, views, info):
        output = super().forward(views, info)
        torch.set_grad_enabled(False)
        return output


@caught_by("check_settings_of_the_process_are_left_alone")
class ChangesTheFolder(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        os.chdir(tempfile.gettempdir())
