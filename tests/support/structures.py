"""Valid OpenAPI objects that have every field."""

from typing import Any

_DOCS = {"description": "More.", "url": "https://example.com"}
_SERVERS = [
    {
        "url": "/{v}",
        "description": "A server.",
        "variables": {"v": {"enum": ["1"], "default": "1", "description": "V."}},
    }
]
_SCHEMA: dict[str, Any] = {
    "title": "A",
    "description": "A schema.",
    "type": "object",
    "required": ["a"],
    "minProperties": 1,
    "maxProperties": 9,
    "additionalProperties": {"type": "string"},
    "discriminator": {"propertyName": "a", "mapping": {"b": "#/components/schemas/B"}},
    "externalDocs": _DOCS,
    "xml": {"name": "a", "namespace": "https://example.com", "prefix": "p", "attribute": False, "wrapped": False},
    "example": {"a": 1},
    "properties": {
        "a": {"type": "number", "multipleOf": 0.5, "minimum": 1, "maximum": 5, "default": 1, "readOnly": True},
        "b": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^a", "format": "email", "writeOnly": True},
        "c": {"type": "array", "items": {}, "minItems": 1, "maxItems": 5, "uniqueItems": True, "deprecated": True},
        "d": {"allOf": [{}], "anyOf": [{}], "oneOf": [{}], "not": {"type": "string"}, "enum": [1, None]},
    },
}
_MEDIA = {
    "application/json": {
        "schema": {"$ref": "#/components/schemas/A"},
        "examples": {"a": {"$ref": "#/components/examples/A"}},
    },
    "multipart/form-data": {
        "schema": {"type": "object"},
        "example": {},
        "encoding": {
            "a": {
                "contentType": "text/plain",
                "headers": {"X-A": {"schema": {}}},
                "style": "form",
                "explode": True,
            }
        },
    },
}
_FLOW = {"refreshUrl": "https://example.com", "scopes": {"a": "A."}}
_AUTHORIZATION, _TOKEN = {"authorizationUrl": "https://example.com"}, {"tokenUrl": "https://example.com"}
# The official schema of 3.1 lacks the server of a link, and accepts only strings as its parameters.
_LINK = {"requestBody": {}, "description": "L."}
_OPERATION = {
    "tags": ["a"],
    "summary": "S",
    "description": "D.",
    "externalDocs": _DOCS,
    "operationId": "getA",
    "parameters": [{"$ref": "#/components/parameters/A"}],
    "requestBody": {"$ref": "#/components/requestBodies/A"},
    "responses": {
        "200": {"$ref": "#/components/responses/A"},
        "4XX": {"description": ""},
        "default": {"description": ""},
    },
    "callbacks": {"a": {"$ref": "#/components/callbacks/A"}},
    "deprecated": False,
    "security": [{"oauth": ["a"]}, {}],
    "servers": _SERVERS,
}
EVERY_OBJECT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {
        "title": "T",
        "description": "D.",
        "termsOfService": "https://example.com",
        "contact": {"name": "N", "url": "https://example.com", "email": "a@example.com"},
        "license": {"name": "MIT", "url": "https://example.com"},
        "version": "1",
    },
    "servers": _SERVERS,
    "paths": {
        "/a/{a}": {
            "summary": "S",
            "description": "D.",
            "get": _OPERATION,
            "servers": _SERVERS,
            "parameters": [
                {
                    "name": "a",
                    "in": "path",
                    "required": True,
                    "description": "D.",
                    "deprecated": False,
                    "style": "matrix",
                    "explode": True,
                    "schema": {"type": "string"},
                    "example": "x",
                }
            ],
        }
    },
    "components": {
        "schemas": {"A": _SCHEMA, "B": {"type": "string", "nullable": True, "exclusiveMaximum": True, "maximum": 1}},
        "responses": {
            "A": {
                "description": "D.",
                "headers": {"X-A": {"$ref": "#/components/headers/A"}},
                "content": _MEDIA,
                "links": {"a": {"$ref": "#/components/links/A"}},
            }
        },
        "parameters": {
            "A": {
                "name": "q",
                "in": "query",
                "allowEmptyValue": True,
                "content": {"application/json": {"schema": {}}},
            }
        },
        "examples": {"A": {"summary": "S", "description": "D.", "value": {}}, "B": {"externalValue": "https://e.com"}},
        "requestBodies": {"A": {"description": "D.", "required": True, "content": _MEDIA}},
        "headers": {"A": {"schema": {"type": "string"}, "style": "simple", "examples": {"a": {"value": "x"}}}},
        "securitySchemes": {
            "key": {"type": "apiKey", "name": "X-Key", "in": "header", "description": "D."},
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            "oauth": {
                "type": "oauth2",
                "flows": {
                    "implicit": _AUTHORIZATION | _FLOW,
                    "password": _TOKEN | _FLOW,
                    "clientCredentials": _TOKEN | _FLOW,
                    "authorizationCode": _AUTHORIZATION | _TOKEN | _FLOW,
                },
            },
            "openid": {"type": "openIdConnect", "openIdConnectUrl": "https://example.com"},
        },
        "links": {"A": {"operationId": "getA"} | _LINK, "B": {"operationRef": "#/paths/~1a~1%7Ba%7D/get"}},
        "callbacks": {"A": {"{$request.body#/url}": {"post": {"responses": {"200": {"description": ""}}}}}},
    },
    "security": [{"key": []}],
    "tags": [{"name": "a", "description": "D.", "externalDocs": _DOCS}],
    "externalDocs": _DOCS,
}
EVERY_SCHEMA_OF_3_1: dict[str, Any] = {
    "A": {
        "$comment": "C.",
        "$anchor": "a",
        "$dynamicAnchor": "d",
        "$defs": {"x": True},
        "$ref": "#/components/schemas/B",
        "type": ["object", "null"],
        "const": {},
        "examples": [{}],
        "patternProperties": {"^a": {}},
        "propertyNames": {"pattern": "^a"},
        "dependentRequired": {"a": ["b"]},
        "dependentSchemas": {"a": {}},
        "unevaluatedProperties": False,
        "if": {"required": ["a"]},
        "then": {"$dynamicRef": "#d"},
        "else": {"$ref": "#a"},
        "contentSchema": {},
        "contentEncoding": "base64",
        "contentMediaType": "application/json",
        "x-own": 1,
        "annotation-of-a-vocabulary": 1,
    },
    "B": {
        "type": "array",
        "prefixItems": [{}],
        "contains": {"exclusiveMinimum": 1, "exclusiveMaximum": 5},
        "minContains": 1,
        "maxContains": 5,
        "unevaluatedItems": False,
    },
    "C": True,
}
