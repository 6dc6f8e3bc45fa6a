"""Makes a section of the document from the dataclasses of its parameters.

Every field that has a Help is a key. The dataclass is the only place that says its type, bounds,
default and help: pydantic gets all of them from there.

Strictness belongs to a type. Integers, floats and booleans are strict: `minpoll = "4"` is a fault.
TOML has neither paths nor enumerations, so those are made from text.
"""

import dataclasses
from collections.abc import Callable, Collection
from types import GenericAlias, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, create_model
from pydantic.functional_validators import model_validator

from webntpd.config.forms import CHECKS
from webntpd.keys import Form, Help

T = TypeVar("T")


class Section(BaseModel):
    """A section, or one item of a section that may stand several times."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """A key with its help, its default in Python, and its type as pydantic takes it.

    The default is dataclasses.MISSING if the key must be given.
    """

    name: str
    help: Help
    default: Any
    annotation: Any


def keys_of(*parameters: type) -> list[Key]:
    """The keys of some dataclasses, in the order of their fields."""
    found = []
    for each in parameters:
        hints = get_type_hints(each, include_extras=True)
        for field in dataclasses.fields(each):
            helps = [part for part in get_args(hints[field.name]) if isinstance(part, Help)]
            if helps:
                default = field.default
                found.append(Key(field.name, helps[0], default, adapted(hints[field.name])))
    return found


def section(
    name: str,
    *parameters: type,
    dependent: Collection[str] = (),
    kind: str | None = None,
    check: Callable[[Any], None] | None = None,
) -> type[Section]:
    """The model of a section whose keys are those of the `parameters`.

    The `dependent` keys are None if they are not given: their defaults depend on other keys. `kind`
    is the value of the key `type`. `check` raises ValueError if the keys contradict each other.
    """
    fields: dict[str, Any] = {} if kind is None else {"type": (Literal[kind], ...)}
    explanation = ""
    for key in keys_of(*parameters):
        explanation = key.help.text or explanation
        annotation, default = key.annotation, key.default
        if key.name in dependent:
            annotation, default = annotation | None, None
        elif default is dataclasses.MISSING:
            default = ...
        elif isinstance(default, tuple | frozenset):
            default = list(default)
        fields[key.name] = (annotation, Field(default, description=explanation))

    def checked(model: Any) -> Any:
        if check is not None:
            check(model)
        return model

    validators: dict[str, Any] = {"checked": model_validator(mode="after")(checked)}
    made: type[Section] = create_model(name, __base__=Section, __validators__=validators, **fields)
    return made


def adapted(annotation: Any) -> Any:
    """A type with its metadata as pydantic takes it: forms become checks, tuples become lists."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(*parts)
    if origin in (Union, UnionType):
        return Union[tuple(map(adapted, parts))]  # noqa: UP007 - the parts are not known before
    if origin in (tuple, frozenset):
        return GenericAlias(list, (adapted(parts[0]),))
    if annotation in (int, float, bool):
        return Annotated[annotation, Strict()]
    return annotation


def _annotated(kind: Any, *metadata: Any) -> Any:
    forms = [part for part in metadata if isinstance(part, Form)]
    kept = [part for part in metadata if not isinstance(part, Form | Help)]
    base = str if Form.USER in forms else adapted(kind)  # a user's name becomes a number
    for part in [*kept, *(AfterValidator(CHECKS[form]) for form in forms)]:
        base = Annotated[base, part]
    return base


def parameters_from(model: BaseModel, parameters: type[T], /, **others: Any) -> T:
    """The dataclass `parameters` from the keys of a section; `others` are not keys, or not None."""
    values = dict(model)
    hints = get_type_hints(parameters)
    for name, value in values.items():
        if isinstance(value, list) and name in hints:
            values[name] = (frozenset if get_origin(hints[name]) is frozenset else tuple)(value)
    names = {field.name for field in dataclasses.fields(parameters)}  # type: ignore[arg-type]
    return parameters(**{name: values[name] for name in values.keys() & names} | others)
