"""Say what a device computes fast."""

import torch


def is_bfloat16_fast(device: torch.device) -> bool:
    """Return whether a device supports bfloat16; emulation is ten times slower."""
    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return True


def count_workers(device: torch.device) -> int:
    """Return the number of processes that make examples for a network on a device."""
    return 1 if device.type == "cpu" else 8
