"""What a chip could compute at best, and how much of that a training uses (MFU, model FLOPs utilisation). Free of torch.

MFU = tokens per second × FLOP per token ÷ the chip's peak for dense bfloat16 products; FLOP per token as in `llm_core.models.counting`.
Chips that are not listed, CPUs among them, have no known peak and so no MFU. Not here: measuring speed (`llm_core.training.loop`).
"""

from __future__ import annotations

# Dense bfloat16 with float32 sums, TFLOP/s, from the makers' data sheets; the first that the chip's name contains.
_PEAK_TFLOPS = (
    ("H100 PCIe", 756.0),
    ("H100 NVL", 835.0),
    ("H200", 989.0),
    ("GH200", 989.0),
    ("H100", 989.0),
    ("H20", 148.0),
    ("B200", 2250.0),
    ("A100", 312.0),
    ("L40S", 362.0),
    ("L40", 181.0),
    ("L4", 121.0),
    ("A10G", 70.0),
    ("A10", 125.0),
    ("RTX 6000 Ada", 364.0),
    ("RTX 5090", 209.5),
    ("RTX 4090", 165.2),
    ("RTX 3090", 71.0),
    ("RTX A6000", 155.0),
)


def peak_tflops(device_name: str) -> float | None:
    """TFLOP per second of a chip in bfloat16; None for one that is not listed."""
    return next((peak for name, peak in _PEAK_TFLOPS if name in device_name), None)


def full_speed(flops_per_token: int, device_name: str, precision: str, num_devices: int = 1) -> float | None:
    """Tokens per second if the chips did nothing but their peak; None where that is not known, as for any precision but bfloat16."""
    peak = peak_tflops(device_name) if precision == "bfloat16" else None
    return None if peak is None else 1e12 * peak * num_devices / flops_per_token
