"""CovarianceTransformer: attention over channels and convolutions, a later answer to the paper."""

from relative_performer.models.declaration import Model
from relative_performer.models.options import CIRCULAR, DROPOUT, TRANSFORMER, check_dim

MODEL = Model(
    package=__name__,
    name="CovarianceTransformer",
    order=3,  # before the baselines, in the order of names
    network="model:CovarianceTransformer",
    naive="naive:naive_logits",
    options=(*TRANSFORMER, *DROPOUT, CIRCULAR),
    check=check_dim,
    label="Cross-covariance",
    color="#999933",
    linestyle=(0, (5, 1, 1, 1, 1, 1, 1, 1)),
    marker="h",
)
