"""ONNX Runtime sessions: the one place that opens them and says on which device, and in which arithmetic, they really run."""

import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort

from core.errors import GroundswellError, ModelError

Device = Literal["auto", "cpu", "cuda"]
Mode = Literal["exact", "fast", "half"]
"""exact: the graph as shipped, its weights dequantised. fast: integer products, on a CPU. half: 16-bit floats, on CUDA."""

Array = np.ndarray[Any, Any]
_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_NEW_OPSET = re.compile(r"support for domain ai\.onnx is till opset (\d+)")


class Session:
    """A loaded model; `run` may be called from several threads at once. `mode` says in which arithmetic it runs."""

    def __init__(self, inner: ort.InferenceSession, *, mode: Mode = "exact") -> None:
        self._inner = inner
        self.mode: Mode = mode
        self.providers: tuple[str, ...] = tuple(inner.get_providers())
        self.outputs: dict[str, tuple[int | str | None, ...]] = {each.name: tuple(each.shape) for each in inner.get_outputs()}

    @property
    def device(self) -> str:
        """`cuda` where the CUDA provider really loaded, else `cpu`."""
        return "cuda" if _CUDA in self.providers else "cpu"

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """The named outputs (all, if None) for one batch of inputs."""
        if self.device == "cuda":
            return self.run_bound(feeds, outputs)
        result: list[Array] = self._inner.run(None if outputs is None else list(outputs), dict(feeds))
        return result

    def run_bound(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """As `run`, with inputs and outputs bound once: only they cross between the device and the CPU's memory."""
        binding = self._inner.io_binding()
        contiguous = {name: np.ascontiguousarray(array) for name, array in feeds.items()}  # kept until the run is over
        for name, array in contiguous.items():
            binding.bind_cpu_input(name, array)
        for name in self.outputs if outputs is None else outputs:
            binding.bind_output(name, "cpu")
        self._inner.run_with_iobinding(binding)
        result: list[Array] = binding.copy_outputs_to_cpu()
        return result


def open_session(path: Path, *, device: Device = "auto", mode: Mode | None = None, threads: int = 1) -> Session:
    """A session on the CUDA provider where it loads, else the CPU; `device="cuda"` fails where CUDA does not really load.

    With a `mode`, CUDA runs the graph in 16-bit floats and the CPU runs it in that mode; without one it runs as it is everywhere.
    One intra-op thread and a Python thread per core reach 1.84 to 1.90 times one core on two; `threads` is the intra-op count.
    """
    _refuse_two_runtimes()
    if device != "cpu" and _CUDA in ort.get_available_providers():
        session = _open(path, "exact" if mode is None else "half", [_CUDA, _CPU], threads)
        if session.device == "cuda":  # onnxruntime-gpu lists the provider even where it cannot load
            return session
    if device == "cuda":
        raise ModelError(
            "device is cuda, but onnxruntime runs on the CPU: install the `gpu` extra and an NVIDIA driver, or set device=auto"
        )
    return _open(path, mode or "exact", [_CPU], threads)


def _open(path: Path, mode: Mode, providers: list[str], threads: int) -> Session:
    try:
        graph = _graph(path, mode)
        return Session(ort.InferenceSession(graph, _options(threads), providers=providers), mode=mode)
    except GroundswellError:
        raise
    except Exception as error:  # onnxruntime and onnx raise their own untyped exceptions
        newest = _NEW_OPSET.search(str(error))
        if newest is not None:
            raise ModelError(
                f"{path}: its opset is newer than {newest[1]}, the newest that onnxruntime {ort.__version__} runs; "
                "update onnxruntime, or export the model with an older opset"
            ) from error
        raise ModelError(f"{path}: onnxruntime cannot load the model: {error}") from error


def _graph(path: Path, mode: Mode) -> str | bytes:
    """What a session of this mode is opened on: the file, or a graph made of it in memory."""
    if mode == "exact":
        return str(path)
    from models import graphs  # imports onnx, which takes 0.2 s

    return graphs.int8_activations(path) if mode == "fast" else graphs.half(path)


def _options(threads: int) -> ort.SessionOptions:
    """Int8 weights are dequantised at load (`session.disable_quant_qdq`), so that a score does not depend on its batch."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


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
