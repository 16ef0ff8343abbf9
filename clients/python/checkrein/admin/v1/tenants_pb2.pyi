import datetime

from checkrein.admin.v1 import budgets_pb2 as _budgets_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TenantKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TENANT_KIND_UNSPECIFIED: _ClassVar[TenantKind]
    TENANT_KIND_ORGANIZATION: _ClassVar[TenantKind]
    TENANT_KIND_TEAM: _ClassVar[TenantKind]
    TENANT_KIND_USER: _ClassVar[TenantKind]
    TENANT_KIND_BUDGET: _ClassVar[TenantKind]
TENANT_KIND_UNSPECIFIED: TenantKind
TENANT_KIND_ORGANIZATION: TenantKind
TENANT_KIND_TEAM: TenantKind
TENANT_KIND_USER: TenantKind
TENANT_KIND_BUDGET: TenantKind

class Tenant(_message.Message):
    __slots__ = ("kind", "name", "source", "place", "state", "budget", "create_time", "update_time", "revision", "settings_json")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_JSON_FIELD_NUMBER: _ClassVar[int]
    kind: TenantKind
    name: str
    source: str
    place: str
    state: str
    budget: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    revision: int
    settings_json: str
    def __init__(self, kind: _Optional[_Union[TenantKind, str]] = ..., name: _Optional[str] = ..., source: _Optional[str] = ..., place: _Optional[str] = ..., state: _Optional[str] = ..., budget: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ..., settings_json: _Optional[str] = ...) -> None: ...

class CreateTenantRequest(_message.Message):
    __slots__ = ("kind", "settings_json")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_JSON_FIELD_NUMBER: _ClassVar[int]
    kind: TenantKind
    settings_json: str
    def __init__(self, kind: _Optional[_Union[TenantKind, str]] = ..., settings_json: _Optional[str] = ...) -> None: ...

class CreateTenantResponse(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: Tenant
    def __init__(self, tenant: _Optional[_Union[Tenant, _Mapping]] = ...) -> None: ...

class GetTenantRequest(_message.Message):
    __slots__ = ("kind", "name")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    kind: TenantKind
    name: str
    def __init__(self, kind: _Optional[_Union[TenantKind, str]] = ..., name: _Optional[str] = ...) -> None: ...

class GetTenantResponse(_message.Message):
    __slots__ = ("tenant", "account")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    tenant: Tenant
    account: _budgets_pb2.Account
    def __init__(self, tenant: _Optional[_Union[Tenant, _Mapping]] = ..., account: _Optional[_Union[_budgets_pb2.Account, _Mapping]] = ...) -> None: ...

class ListTenantsRequest(_message.Message):
    __slots__ = ("kind", "after", "limit")
    KIND_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    kind: TenantKind
    after: str
    limit: int
    def __init__(self, kind: _Optional[_Union[TenantKind, str]] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListTenantsResponse(_message.Message):
    __slots__ = ("tenants", "next")
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[Tenant]
    next: str
    def __init__(self, tenants: _Optional[_Iterable[_Union[Tenant, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class UpdateTenantRequest(_message.Message):
    __slots__ = ("kind", "name", "patch_json")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATCH_JSON_FIELD_NUMBER: _ClassVar[int]
    kind: TenantKind
    name: str
    patch_json: str
    def __init__(self, kind: _Optional[_Union[TenantKind, str]] = ..., name: _Optional[str] = ..., patch_json: _Optional[str] = ...) -> None: ...

class UpdateTenantResponse(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: Tenant
    def __init__(self, tenant: _Optional[_Union[Tenant, _Mapping]] = ...) -> None: ...

class DeleteTenantRequest(_message.Message):
    __slots__ = ("kind", "name")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    kind: TenantKind
    name: str
    def __init__(self, kind: _Optional[_Union[TenantKind, str]] = ..., name: _Optional[str] = ...) -> None: ...

class DeleteTenantResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
