import type { Static, TSchema } from 'typebox'
import { Type } from 'typebox'
import { PLUGIN_NAME_PATTERN } from './plugin-name.ts'

/** The building blocks that the schemas of cardea.yaml and plugin.json share. */

/**
 * A key that may be left out because `default` stands in for it. Its type is that of the value once defaults are
 * applied, so readers of a loaded config never ask twice.
 */
export function defaulted<Schema extends TSchema>(schema: Schema): Schema {
  return Type.Optional(schema) as unknown as Schema
}

/** The schema as plain JSON, as validators and editors want it. */
export function toJsonSchema(schema: TSchema): Readonly<Record<string, unknown>> {
  return JSON.parse(JSON.stringify(schema)) as Record<string, unknown>
}

/** An object whose keys are names that the user chooses. */
export function record<Value extends TSchema>(name: TSchema, value: Value, options: object) {
  return Type.Unsafe<Record<string, Static<Value>>>({
    type: 'object',
    propertyNames: name,
    additionalProperties: value,
    ...options,
  })
}

/** A duration such as "5s", or the number 0. `minimum` is in the same form. */
export function duration(description: string, options: { default: string; minimum?: string }) {
  return withUnit('duration', description, options)
}

/** A size such as "64KiB", or the number 0. `minimum` is in the same form. */
export function size(description: string, options: { default?: string; minimum?: string }) {
  return withUnit('bytes', description, options)
}

function withUnit(
  format: 'duration' | 'bytes',
  description: string,
  options: { default?: string; minimum?: string },
) {
  const zeroAllowed = (options.minimum ?? '0') === '0'
  return Type.Unsafe<string | 0>({
    // A bare 0 needs no unit; any other bare number is refused by `maximum`.
    type: zeroAllowed ? ['string', 'integer'] : 'string',
    format,
    ...(zeroAllowed ? { minimum: 0, maximum: 0 } : { formatMinimum: options.minimum }),
    description,
    ...(options.default === undefined ? {} : { default: options.default }),
  })
}

/** A whole number of things. */
export function count(description: string, options: { default: number; minimum?: number; maximum?: number }) {
  return Type.Integer({ description, minimum: 0, maximum: 1_000_000_000, ...options })
}

/** Names of routes and upstreams. */
export const NAME = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$',
  patternErrorMessage: 'letters, digits, ".", "_" and "-", starting with a letter or digit, at most 100',
})

export const PLUGIN_NAME = Type.String({
  pattern: PLUGIN_NAME_PATTERN,
  patternErrorMessage: 'a kebab-case name such as "rate-limit"',
  maxLength: 100,
})

const FIELD_NAME = Type.String({
  pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
  patternErrorMessage: 'a field name (RFC 9110, 5.1) such as "x-request-id"',
  maxLength: 200,
})

/** Control characters in a value would let a config write further field lines. */
export const FIELD_VALUE = Type.String({
  pattern: '^$|^[\\x21-\\x7e\\x80-\\xff]([\\t\\x20-\\x7e\\x80-\\xff]*[\\x21-\\x7e\\x80-\\xff])?$',
  patternErrorMessage:
    'a string that is a field value (RFC 9110, 5.5): no control characters, no space at either end',
})

export const FIELDS = (description: string) => record(FIELD_NAME, FIELD_VALUE, { description, default: {} })

export const RESPONSE_FIELDS =
  'Header fields of the response. What frames it or belongs to the connection is written by the gateway, but for the `upgrade` of a 426, which has to say what to upgrade to.'

export const FIELD_MATCHES = record(
  FIELD_NAME,
  Type.Union([FIELD_VALUE, Type.Literal(true, { description: 'The field is there, whatever its value.' })]),
  {
    description:
      'Header fields that the request must have: name to the exact value, or to true for "is there". Names are case-insensitive.',
    default: {},
  },
)

const FALLBACK = Type.Object(
  {
    status: defaulted(
      Type.Integer({ minimum: 200, maximum: 599, default: 503, description: 'Status code of the response.' }),
    ),
    headers: defaulted(FIELDS(RESPONSE_FIELDS)),
    body: defaulted(Type.String({ default: '', description: 'Content of the response.' })),
  },
  { additionalProperties: false, description: 'The response that is sent when the plugin fails.' },
)

export const ON_FAILURE = (description: string) =>
  Type.Union(
    [Type.Enum(['closed', 'open']), Type.Object({ fallback: FALLBACK }, { additionalProperties: false })],
    { description },
  )

export const ISOLATION = (options: { default?: string }) =>
  Type.Enum(['none', 'isolate', 'process'], {
    description:
      'Where the plugin runs: "none" in the worker itself, "isolate" or "process" apart from it. Danger: with "none" the plugin can do whatever the gateway can.',
    ...options,
  })

export const PRIORITY = (options: { default?: number }) =>
  Type.Integer({
    description: 'Order within the category: higher runs first, ties by name.',
    minimum: -1_000_000,
    maximum: 1_000_000,
    ...options,
  })

export const TIMEOUT_MS = (options: { default?: number }) =>
  Type.Integer({
    description:
      "Milliseconds that one hook call may take, not counting time spent waiting for the client's bytes.",
    minimum: 1,
    maximum: 600_000,
    ...options,
  })

/** The options of an object whose members all have defaults. */
export const section = (description: string) => ({ additionalProperties: false, default: {}, description })
