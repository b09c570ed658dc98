"""FashionMNIST at half its side, for experiments that have to fit into hours on a CPU. It is not in the paper."""

from relative_performer.data.datasets import fashion_mnist
from relative_performer.data.halved import halved

DATASET = halved(fashion_mnist.DATASET, order=5)
