"""What a model shows of itself, and how its settings are read and changed; scikit-learn's `clone` works on it."""

from __future__ import annotations

from inspect import Signature, signature
from typing import Any, ClassVar, Self

from milk_np.display.tables import facts_table
from milk_np.errors import SettingsError
from milk_np.models.registry import MODELS, constructor_options, constructor_signature
from milk_np.serving.catalogue import Catalogue
from milk_np.settings.option import Value
from milk_np.text import nearest


class _Inspected:
    """`__signature__` of a model's class, made from its settings when `inspect` asks for it."""

    def __get__(self, model: object, cls: type[Estimator]) -> Signature:
        name = getattr(cls, "name", None)
        if name not in MODELS:
            raise AttributeError("__signature__")
        return constructor_signature(str(name))


class Plain:
    """The arguments and the description of a model without training, which has no settings of its own."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor, by name; `deep` is for scikit-learn, and changes nothing."""
        return {name: getattr(self, name) for name in signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change arguments; returns the model itself, which has to be fitted again."""
        mine = self.get_params()
        for name in set(params) - set(mine):
            raise SettingsError(f"{name}: {type(self).__name__} has no such setting{nearest(name, mine)}")
        self.__dict__ = type(self)(**mine | params).__dict__
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"


class Estimator:
    """The settings and the description of a model that is made of settings."""

    name: ClassVar[str]
    settings: Any
    _catalogue: Catalogue | None
    __signature__: ClassVar[Any] = _Inspected()

    def get_params(self, deep: bool = True) -> dict[str, Value]:
        """Every setting that the constructor takes, by name; `deep` is for scikit-learn, and changes nothing."""
        return {name: getattr(self.settings, name) for name in constructor_options(self.name)}

    def set_params(self, **params: Any) -> Self:
        """Change settings; returns the model itself. A fitted model whose settings change has to be fitted again.

        Raises SettingsError for a setting that the model doesn't have, with the nearest.
        """
        changed = type(self)(self.settings, **params)  # type: ignore[call-arg]
        if changed.settings != self.settings:
            self.__dict__ = changed.__dict__
        return self

    def _changed(self) -> dict[str, Value]:
        """The settings that differ from their defaults."""
        usual = type(self.settings)()
        return {name: value for name, value in self.get_params().items() if value != getattr(usual, name)}

    def _state(self) -> dict[str, str]:
        """What a fitted model knows; empty if it isn't fitted."""
        known = self._catalogue
        if known is None:
            return {}
        return {"users": f"{known.n_users:,}", "items": f"{known.n_items:,} ({len(known.new_items()):,} of them new)"}

    def __repr__(self) -> str:
        made = f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._changed().items())})"
        state = self._state()
        return f"<{made}, fitted: users {state['users']}, items {state['items']}>" if state else made

    def _repr_html_(self) -> str:
        """What a notebook shows: what the model is, what was set, and what it knows."""
        fitted = self._state()
        facts = {**self.settings.described(), **self._changed(), **(fitted or {"fitted": "not yet: call fit(ds)"})}
        return facts_table(f"{type(self).__name__}: {type(self.settings).title}", facts)
