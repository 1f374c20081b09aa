"""The applications that come with Foedus."""

from typing import Final

from foedus.apps.application import Application, Result
from foedus.apps.parameters import Kind, Parameter
from foedus.core.records import Resources

OF_ROUNDS: Final = Resources(cpus=1, memory_mb=2000, walltime_s=3600.0)

FL_TRAIN = Application(
    name="FL_TRAIN",
    title="Train a local model",
    description="One client's local training in a round (Algorithm 1), and the scores that the gate needs.",
    resources=OF_ROUNDS,
    results=(Result("update", "content id of the update's tensors"), Result("local", "its scores")),
)
FL_AGGREGATE = Application(
    name="FL_AGGREGATE",
    title="Merge the updates of a round",
    description="Merges what was registered into the candidate for the next version (Algorithm 4).",
    resources=OF_ROUNDS,
    results=(Result("candidate", "content id of the candidate's manifest"), Result("test", "its scores")),
)
FL_VERIFY = Application(
    name="FL_VERIFY",
    title="Check a candidate",
    description="Repeats the merge and scores the candidate on a member's own data (Algorithm 5).",
    resources=OF_ROUNDS,
    results=(Result("candidate", "content id that this member computed"), Result("local", "its scores")),
)

FL_PREDICT = Application(
    name="FL_PREDICT",
    title="A registered model on private data",
    description=(
        "Predicts the label, mask or field of every example of a private dataset with a version of a model "
        "from the store.\n"
        "Predictions, scores and pictures stay in the job folder."
    ),
    resources=Resources(cpus=1, memory_mb=4000, walltime_s=3600.0),
    parameters=(
        Parameter("model", Kind.CID, "manifest of the model's version"),
        Parameter("dataset", Kind.DATASET, "the private data"),
        Parameter("part", Kind.CHOICE, "which examples", "all", choices=("all", "train", "val", "test")),
        Parameter("limit", Kind.INTEGER, "only so many examples, the first ones", None, 1, 2**40),
    ),
    results=(
        Result(
            "predictions.csv",
            "row, file, predicted label and its probability; or mask, share of its area and Dice; or field, "
            "mean squared error and R²; and label or class if known",
        ),
        Result("masks", "of models for masks: probabilities, a grey PNG for each example"),
        Result("fields", "of models for fields: a float32 .npy for each example"),
        Result(
            "scores",
            "of labels F1 as the mean over those that occur, accuracy, loss and confusion matrix, where they "
            "are known, and numbers as the model's are; of masks Dice, of fields R², where these are known",
        ),
        Result("examples.png", "some examples with their predictions"),
        Result("confusion.png", "the confusion matrix, where labels are scored"),
    ),
    entry="foedus.apps.predict.task:run",
    check_at="foedus.apps.predict.fit:check",
)

SIM_REACTION_DIFFUSION = Application(
    name="SIM_REACTION_DIFFUSION",
    title="Gray–Scott reaction and diffusion on a 2-D grid",
    description=(
        "Two substances react and diffuse on a periodic grid: u is fed at the rate F, v removed at F + k.\n"
        "Spots that divide: F = 0.035, k = 0.065. Coral: F = 0.0545, k = 0.062. Spirals: F = 0.018, "
        "k = 0.051. Holes: F = 0.039, k = 0.058.\n"
        "It keeps checkpoints, and the frames become a private dataset whose labels are the regimes."
    ),
    resources=Resources(cpus=1, memory_mb=2000, walltime_s=3600.0),
    parameters=(
        Parameter("F", Kind.REAL, "rate at which u is fed", 0.0545, 0, 0.3, unit="1/time"),
        Parameter("k", Kind.REAL, "rate at which v is removed, beyond F", 0.062, 0, 0.3, unit="1/time"),
        Parameter("Du", Kind.REAL, "diffusion of u", 0.16, 0, 10, unit="cells²/time"),
        Parameter("Dv", Kind.REAL, "diffusion of v", 0.08, 0, 10, unit="cells²/time"),
        Parameter("size", Kind.INTEGER, "side of the grid", 256, 8, 8192, unit="cells"),
        Parameter("steps", Kind.INTEGER, "time steps", 10_000, 1, 100_000_000),
        Parameter("dt", Kind.REAL, "time step; must be stable", 1.0, 1e-6, 1000, unit="time"),
        Parameter("seed", Kind.INTEGER, "of the start", 1, 0, 2**62),
        Parameter(
            "frames", Kind.INTEGER, "states to keep, evenly spread, the last among them", 50, 1, 100_000
        ),
        Parameter("start", Kind.CHOICE, "where v is at first", "spots", choices=("spots", "centre", "noise")),
        Parameter("stencil", Kind.CHOICE, "points of the Laplacian", "9", choices=("5", "9")),
        Parameter("precision", Kind.CHOICE, "of numbers", "float32", choices=("float32", "float64")),
        Parameter("checkpoint_s", Kind.REAL, "time between checkpoints", 60.0, 0.001, 1e6, unit="s"),
    ),
    results=(
        Result("u.npy, v.npy", "the frames: (frames, size, size)"),
        Result("metadata.json", "parameters, shape, ranges of u and v, the regime of each frame"),
    ),
    entry="foedus.apps.gray_scott.task:run",
    check="foedus.apps.gray_scott.task:check",
    dataset_kind="frames",
)

SIM_RENDER = Application(
    name="SIM_RENDER",
    title="Picture and movie of a simulation",
    description=(
        "Draws the last frame of a simulation that is a private dataset, and its frames as a movie."
    ),
    resources=Resources(cpus=1, memory_mb=2000, walltime_s=1800.0),
    parameters=(
        Parameter("frames", Kind.DATASET, "the simulation's output"),
        Parameter("field", Kind.CHOICE, "what to draw", "v", choices=("u", "v")),
        Parameter(
            "colours",
            Kind.CHOICE,
            "colour map",
            "viridis",
            choices=("viridis", "magma", "cividis", "inferno"),
        ),
        Parameter(
            "movie", Kind.CHOICE, "mp4 needs the program ffmpeg", "gif", choices=("gif", "mp4", "none")
        ),
        Parameter("frames_per_s", Kind.INTEGER, "speed of the movie", 12, 1, 60, unit="1/s"),
    ),
    results=(Result("last_frame.png", "the last frame"), Result("movie.gif, movie.mp4", "the movie")),
    entry="foedus.apps.gray_scott.render:run",
)

BUILT_IN: Final = (FL_TRAIN, FL_AGGREGATE, FL_VERIFY, FL_PREDICT, SIM_REACTION_DIFFUSION, SIM_RENDER)
