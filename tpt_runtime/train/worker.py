"""One training process: `python -m tpt_runtime.train.worker JOB`, started by the launcher, directly or through torchrun.

It tells the launcher what it does by lines on standard output, and leaves a file with its error when it fails. It ends when its
standard input closes, which means that the launcher is gone. It decides nothing: the job says everything.
"""

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import fresh_folder, partial_folder, storage_failure, write_json
from tpt_runtime.core.choices import Batching, Method, TrainingEngine
from tpt_runtime.core.errors import EXIT_CRASH, EXIT_INTERRUPTED, ConfigurationError, StepFailed, TptError
from tpt_runtime.core.layout import model_dir
from tpt_runtime.train.batches import Order, Plan, Shape, plan_held_out, plan_training
from tpt_runtime.train.checkpoints import LocalCheckpoints, resume_from
from tpt_runtime.train.examples import ExampleSet, held_out_set, training_set
from tpt_runtime.train.history import held_out_losses, mean_loss
from tpt_runtime.train.job import CHECKPOINTS, ERROR_FOLDER, Failure, Job, Outcome, event_line, outcome_file, stored_checkpoints
from tpt_runtime.train.settings import trainer_settings


def main() -> int:
    """Run the job named on the command line and return the exit code."""
    threading.Thread(target=_end_with_the_launcher, daemon=True, name="lifeline").start()
    job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
    try:
        train(job)
        _leave()
        return 0
    except Exception as error:  # noqa: BLE001 - the frame of the program: whatever it was is reported, never swallowed
        return _report(in_words(error, job))


def _end_with_the_launcher() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(EXIT_INTERRUPTED)


def _tell(event: str, **fields: Any) -> None:
    """Tell the launcher of an event; the first process of each node does so."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(event_line(event, **fields), flush=True)  # noqa: T201 - the line is the message


def _report(error: Exception) -> int:
    traceback.print_exception(error)
    code = error.exit_code if isinstance(error, TptError) else EXIT_CRASH
    message = str(error) if isinstance(error, TptError) else f"{type(error).__name__}: {error}"
    failure = Failure(message=message, exit_code=code, time=time.time())
    folder = os.environ.get(ERROR_FOLDER)
    if folder:
        write_json(Path(folder) / f"{os.environ.get('RANK', '0')}.json", failure.wire())
    return code


def in_words(error: Exception, job: Job) -> Exception:
    """Return what the user can do about an error that a library raised."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text:
        words = StepFailed(
            f"out of memory ({text.splitlines()[0]}): lower training.microBatchSize, raise training.deepspeed.zeroStage or "
            "processesPerNode, or set offloadOptimizer; none of them changes the result"
        )
    elif "No space left on device" in text or "PytorchStreamWriter failed writing" in text:
        words = storage_failure(Path(job.config.root) / job.config.path, OSError(28, "No space left on device"))
    else:
        return error
    words.__cause__ = error
    return words


def train(job: Job) -> None:
    """Train, and leave the unpublished model and its outcome."""
    _tell("phase", phase="import")
    _prepare(job)
    from tpt_runtime.train import trainer

    training, root = job.config.training, Path(job.config.root)
    rows = training_set([root / name for name in job.config.examples], training.max_length)
    held_out = held_out_set(root / job.config.examples[-1], training.max_length)
    plan = make_plan(job, rows)
    tokens = [sum(rows.rows[example].trained for part in step for example in part) for step in plan.steps]

    _tell("phase", phase="load")
    tuner = build(job, plan, rows)
    tuner.add_callback(trainer.Watch(training.checkpoint_every_seconds, _tell, tokens))
    measure = trainer.HeldOut(tuner, held_out.rows, plan_held_out(held_out.lengths, plan.shape))
    tuner.add_callback(measure)
    checkpoint = _agreed(tuner, lambda: _checkpoint(job, tuner))

    _tell("phase", phase="train")
    tuner.train(resume_from_checkpoint=checkpoint)
    measure.take()

    _tell("phase", phase="save")
    history = tuner.state.log_history
    _save(
        job,
        tuner,
        {
            "loss": mean_loss(history, tokens),
            "held_out": held_out_losses(history),
            "steps": len(plan.steps),
            "tokens": sum(tokens),
            "examples": len(rows.rows),
            "dropped": rows.dropped,
            "repeated": rows.repeated,
        },
    )


def _prepare(job: Job) -> None:
    """Keep libraries from saying what is not asked for and from compiling what is not needed; start DeepSpeed's exchange."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    # It would say at each start that the trainer, not accelerate, accumulates gradients; which is so.
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    if job.config.training.engine is not TrainingEngine.DEEPSPEED:
        return
    import deepspeed

    if job.device.kind == "cpu":
        # All-reduce through shared memory is for inference in bf16; it would be compiled at first use, for a minute, with g++.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        # Else accelerate starts torch's own exchange only, and ZeRO-3 would think itself alone while it reads the model.
        deepspeed.init_distributed(dist_backend="gloo", verbose=False)


def build(job: Job, plan: Plan, rows: ExampleSet) -> Any:
    """Return the trainer, its model loaded."""
    from transformers import AutoTokenizer
    from trl import SFTConfig

    from tpt_runtime.train import trainer, weights

    config, training = job.config, job.config.training
    root = Path(config.root)
    output = root / config.path / CHECKPOINTS
    try:
        arguments = SFTConfig(**trainer_settings(job, plan.shape, len(plan.steps), str(output)))
        # Before the model: under ZeRO-3 it is sharded while it is read, which these arguments announce.
        model = weights.load(root / config.model, job.attention)
        return trainer.PlannedTrainer(
            plan,
            trainer.Saving(stored_checkpoints(job) or LocalCheckpoints(), job.topology),
            packed=training.batching is Batching.PACKED,
            model=model,
            args=arguments,
            train_dataset=trainer.dataset_of(rows.rows),
            processing_class=AutoTokenizer.from_pretrained(root / config.tokenizer, local_files_only=True),
            peft_config=weights.adapter(training.lora) if training.method is Method.LORA else None,
        )
    except (ValueError, ImportError, RuntimeError) as error:
        if training.report_to and any(name in str(error).lower() for name in training.report_to):
            raise ConfigurationError(f"training.reportTo: {training.report_to}: {error}") from error
        if training.lora and "target_modules" in str(error).lower():
            raise ConfigurationError(f"training.lora.targetModules: {training.lora.target_modules}: {error}") from error
        raise


def _checkpoint(job: Job, tuner: Any) -> str | None:
    """Return the checkpoint to go on from; process 0 looks."""
    found = resume_from(Path(tuner.args.output_dir), job.topology, lambda words: _tell("note", message=words))
    if found:
        _tell("note", message=f"going on from {found.name}", step=int(found.name.rpartition("-")[2]))
    return str(found) if found else None


def _agreed(tuner: Any, ask: Callable[[], str | None]) -> str | None:
    """Return process 0's answer on every process: on a network file system, others may still see what it removed."""
    if tuner.args.world_size == 1:
        return ask()
    import torch

    answer = [ask() if tuner.is_world_process_zero() else None]
    torch.distributed.broadcast_object_list(answer, src=0)
    return answer[0]


def _save(job: Job, tuner: Any, figures: dict[str, Any]) -> None:
    """Write the unpublished model and the outcome beside it; process 0 does."""
    from tpt_runtime.train import weights

    root = Path(job.config.root)
    final = root / model_dir(job.config.path)
    trained = weights.trained_weights(tuner)
    if trained is not None:
        parent = root / job.config.model
        partial = fresh_folder(partial_folder(final, job.config.attempt))
        weights.save(tuner, trained, parent, partial)
        share, visible = weights.changed_share(parent, partial)
        outcome = Outcome(**figures, changed_share=share, changed_share_bf16=visible, versions=_versions())
        write_json(outcome_file(job), outcome.wire())
    if tuner.args.world_size > 1:
        import torch

        torch.distributed.barrier()


def _leave() -> None:
    """Leave the other processes in good order."""
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "trl", "deepspeed", "accelerate", "peft", "tpt-operator")
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def make_plan(job: Job, rows: ExampleSet) -> Plan:
    """Return the plan of the job's batches, the same in every process."""
    config, training = job.config, job.config.training
    order = Order(f"train/{config.seed}/{config.round}", training.epochs, training.batch_size)
    shape = Shape(job.processes, training.micro_batch_size, job.accumulation)
    capacity = training.micro_batch_size * training.max_length
    return plan_training(rows.lengths, training.batching, order, shape, capacity)


if __name__ == "__main__":
    sys.exit(main())
