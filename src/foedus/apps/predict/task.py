"""FL_PREDICT as a batch job: predictions, scores where the truth is known, and pictures, in `output/`.

The model comes from the store by the CID of its manifest, which names its weights and its architecture; the
data come from the home folder by their name. Nothing of either leaves this job folder.
"""

from typing import Any

from foedus.apps.datasets.loading import load
from foedus.apps.order import Order, home_of
from foedus.apps.predict.fit import require_fit, store_of
from foedus.apps.predict.labels import predict_labels
from foedus.apps.predict.maps import predict_maps
from foedus.apps.predict.output import whole
from foedus.apps.predict.version import open_version
from foedus.core.errors import InvalidData
from foedus.core.ids import Cid
from foedus.launch import JobFolder
from foedus.learn.objectives import CLASSIFICATION
from foedus.learn.process import prepare_worker


def run(folder: JobFolder) -> None:
    """Predict, score and draw, then write the result.

    Raises `ObjectMissing` and `ObjectDamaged` for the model, `InvalidData` for data that do not suit it.
    """
    order = Order.read(folder)
    prepare_worker(order.resources.cpus)
    values: dict[str, Any] = dict(order.parameters)
    home = home_of(folder)
    model = open_version(store_of(home), Cid(values["model"]))
    loaded = load(home, values["dataset"])
    require_fit(loaded.dataset, model.info)
    rows = loaded.rows(values["part"])[: values["limit"]]
    if not len(rows):
        raise InvalidData(f"the part {values['part']} of dataset {values['dataset']!r} is empty")
    predict = predict_labels if model.info.objective is CLASSIFICATION else predict_maps
    with whole(folder.make_output()) as place:
        found = predict(
            model, loaded, rows, place, lambda done: folder.emit({"done": done, "total": len(rows)})
        )
    folder.finish(
        {
            "model": values["model"],
            "version": model.version,
            "dataset": values["dataset"],
            "part": values["part"],
            "examples": len(rows),
            **found,
        }
    )
