"""train: a training set in, the next model out.

    step      the launcher: checks everything, starts the processes, publishes the model      (imports no torch)
    checks    what can be refused before a process is started
    job       what the launcher tells the processes, and what they answer
    examples  training rows from the prune steps' folders
    batches   which examples make up which optimizer step, on which process
    settings  the settings of DeepSpeed and of the trainer, as data
    memory    what a training needs at least
    devices   what this machine has
    processes the processes: started, listened to, stopped
    checkpoints  which checkpoint a training goes on from
    stored    checkpoints in an object store
    history   what the trainer's log says
    card      the model card

    worker    one training process                                                           (torch from here on)
    trainer   TRL's `SFTTrainer`, fed by our own plan of batches
    weights   models read, merged, written and compared

The launcher runs on every node; processes of one node are its children.
"""
