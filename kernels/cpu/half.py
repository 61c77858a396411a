"""Numbers of half precision, which Numba has no type for: arrays of uint16 hold their bits."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from milk_np.kernels.cpu.vectors import HALF

_INT32, _FLOAT = ir.IntType(32), ir.FloatType()


@intrinsic
def widened(typing: Any, bits: Any) -> Any:
    """The float32 of the number whose `bits` (uint16) are given, exactly.

    By an instruction where there is one, which LLVM takes for several numbers at once.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _by_instruction(builder, args[0]) if HALF else _by_places(builder, args[0])

    return types.float32(types.uint16), codegen


def _by_instruction(builder: Any, bits: Any) -> Any:
    return builder.fpext(builder.bitcast(bits, ir.HalfType()), _FLOAT)


def _by_places(builder: Any, bits: Any) -> Any:
    """Exponent and fraction at their places in a float32 make the number 2^-112 times too small; a product mends it.

    That holds for subnormal numbers too, but not for infinity and NaN, which tables don't have.
    """
    wide = builder.zext(bits, _INT32)
    sign = builder.shl(builder.and_(wide, _INT32(0x8000)), _INT32(16))
    rest = builder.shl(builder.and_(wide, _INT32(0x7FFF)), _INT32(13))
    small = builder.bitcast(builder.or_(sign, rest), _FLOAT)
    return builder.fmul(small, ir.Constant(_FLOAT, 2.0**112))
