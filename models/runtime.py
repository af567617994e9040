"""ONNX Runtime sessions: the one place that opens them and says on which device they really run."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort

from core.errors import ModelError

Device = Literal["auto", "cpu", "cuda"]
_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"


class Session:
    """A loaded model; `run` may be called from several threads at once."""

    def __init__(self, inner: ort.InferenceSession) -> None:
        self._inner = inner
        self.providers: tuple[str, ...] = tuple(inner.get_providers())
        self.outputs: tuple[str, ...] = tuple(output.name for output in inner.get_outputs())

    @property
    def device(self) -> str:
        """`cuda` where the CUDA provider really loaded, else `cpu`."""
        return "cuda" if _CUDA in self.providers else "cpu"

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]], outputs: Sequence[str] | None = None) -> list[np.ndarray[Any, Any]]:
        """The named outputs (all, if None) for one batch of inputs."""
        result: list[np.ndarray[Any, Any]] = self._inner.run(None if outputs is None else list(outputs), dict(feeds))
        return result


def open_session(path: Path, *, device: Device = "auto", threads: int = 1) -> Session:
    """A session on the CUDA provider where there is one, else the CPU; `device="cuda"` fails where CUDA does not really load.

    One intra-op thread and a Python thread per core reach 1.84 to 1.90 times one core on two; `threads` is the intra-op count.
    Int8 weights are dequantised at load (`session.disable_quant_qdq`), so that a score does not depend on its batch.
    """
    _refuse_two_runtimes()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    wanted = [_CPU] if device == "cpu" or _CUDA not in ort.get_available_providers() else [_CUDA, _CPU]
    try:
        session = Session(ort.InferenceSession(str(path), options, providers=wanted))
    except Exception as error:  # onnxruntime raises its own untyped exceptions
        raise ModelError(f"{path}: onnxruntime cannot load the model: {error}") from error
    if device == "cuda" and session.device != "cuda":
        raise ModelError(
            "device is cuda, but onnxruntime runs on the CPU: install the `gpu` extra and an NVIDIA driver, or set device=auto"
        )
    return session


def _refuse_two_runtimes() -> None:
    """Refuse onnxruntime and onnxruntime-gpu side by side: the last one installed silently wins."""
    found = []
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    if len(found) > 1:
        raise ModelError(f"{' and '.join(found)} are both installed; uninstall one of them")
