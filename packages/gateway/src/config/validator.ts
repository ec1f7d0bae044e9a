import { isIP, isIPv4, isIPv6 } from 'node:net'
import { Ajv2020, type ErrorObject, type Options, type ValidateFunction } from 'ajv/dist/2020.js'
import validVersion from 'semver/functions/valid.js'
import validRange from 'semver/ranges/valid.js'
import { readPointer, replaceAtPointer } from './pointer.ts'
import type { JsonObject, JsonSchema } from './types.ts'
import { DURATION_FORM, parseDuration, parseSize, SIZE_FORM } from './units.ts'

/** JSON Schema 2020-12 as Cardea speaks it: the formats and keywords, for its own files and for plugins' configs. */

export type SchemaError = ErrorObject<string, Record<string, unknown>>

const UNITS: Readonly<Record<string, (text: string) => number | null>> = {
  duration: parseDuration,
  bytes: parseSize,
}

/** What a format asks for, in words, and its check. A format that is not here makes a schema invalid. */
export const FORMATS: Readonly<Record<string, { form: string; accepts: (text: string) => boolean }>> = {
  duration: { form: DURATION_FORM, accepts: (text) => parseDuration(text) !== null },
  bytes: { form: SIZE_FORM, accepts: (text) => parseSize(text) !== null },
  semver: { form: 'a version such as "1.0.0" (semver.org)', accepts: (text) => validVersion(text) !== null },
  'semver-range': { form: 'a version range such as "^1.0.0"', accepts: (text) => validRange(text) !== null },
  uri: { form: 'an absolute URL', accepts: (text) => URL.canParse(text) },
  ipv4: { form: 'an IPv4 address', accepts: isIPv4 },
  ipv6: { form: 'an IPv6 address', accepts: isIPv6 },
  hostname: { form: 'a host name', accepts: isHostname },
  uuid: {
    form: 'a UUID',
    accepts: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text),
  },
  'date-time': {
    form: 'a date and time such as "2026-01-31T12:00:00Z" (RFC 3339)',
    accepts: isDateTime,
  },
  regex: { form: 'a regular expression', accepts: isRegex },
}

/** A host name by RFC 1123, or an underscore where DNS allows one; no port, no trailing dot. */
export function isHostname(text: string): boolean {
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i
  return text.length <= 253 && text.split('.').every((part) => label.test(part))
}

/** An address, or an address and a prefix length that its family has. */
export function isCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  if (prefix === undefined) return true
  return /^(0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128)
}

/** To Date.parse 30 February is 2 March: a key would let in for two days longer than somebody has thought. */
function isDateTime(text: string): boolean {
  const [, day] = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i.exec(text) ?? []
  if (day === undefined || Number.isNaN(Date.parse(text))) return false
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day)
}

function isRegex(text: string): boolean {
  try {
    new RegExp(text, 'u')
    return true
  } catch {
    return false
  }
}

/** Only says whether schemas are schemas. */
const metaAjv = createAjv({})

/**
 * An ajv keeps all that it ever compiled, whatever is removed from it again, so each schema gets its own (0.6 ms),
 * which goes with the validator. What checks schemas themselves is shared: it costs 30 ms.
 */
function createCompiler(): Ajv2020 {
  return createAjv({ meta: false, validateSchema: false })
}

function createAjv(options: Options): Ajv2020 {
  const made = new Ajv2020({
    ...options,
    allErrors: true,
    // Errors carry the schema they come from: expectations and near keys are read from it.
    verbose: true,
    strict: true,
    // These three refuse schemas that are unusual but right.
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    logger: false,
    // Each validator runs a few times: to make it better takes longer than it saves (two thirds of 50 ms at each start).
    code: { optimize: false },
  })
  for (const [name, { accepts }] of Object.entries(FORMATS)) made.addFormat(name, accepts)
  // Ajv resolves it, but its strict mode does not know it.
  made.addKeyword('$anchor')
  made.addKeyword({ keyword: 'patternErrorMessage', schemaType: 'string' })
  made.addKeyword({ keyword: 'unknownKeyHint', schemaType: 'string' })
  for (const [keyword, sign] of [
    ['formatMinimum', 1],
    ['formatMaximum', -1],
  ] as const) {
    made.addKeyword({
      keyword,
      type: 'string',
      schemaType: 'string',
      error: { message: `must be ${sign === 1 ? 'at least' : 'at most'} the ${keyword}` },
      validate: (bound: string, text: string, parent?: Readonly<Record<string, unknown>>) => {
        const parse = UNITS[String(parent?.format)]
        const [value, limit] = [parse?.(text), parse?.(bound)]
        // Without a value there is a `format` error already.
        return typeof value !== 'number' || typeof limit !== 'number' || (value - limit) * sign >= 0
      },
    })
  }
  return made
}

export interface Validator {
  /** All errors of a value; empty when it is valid. */
  readonly check: (value: unknown) => SchemaError[]
}

export type CompileResult =
  | { readonly ok: true; readonly validator: Validator }
  | { readonly ok: false; readonly pointer: string; readonly reason: string }

/** Compiles a schema, or says where in it and why that is impossible. */
export function compileSchema(given: JsonSchema): CompileResult {
  // Under an id of its own choice a schema could take the place of another, such as the meta-schema.
  const schema = typeof given === 'object' ? withoutId(given) : given
  try {
    const [first] = metaSchemaErrors(schema)
    if (first !== undefined) {
      return { ok: false, pointer: first.instancePath, reason: metaReasonOf(first) }
    }
    const validate = createCompiler().compile(schema) as ValidateFunction
    if ('$async' in validate) return { ok: false, pointer: '/$async', reason: 'it is asynchronous' }
    return { ok: true, validator: validatorOf(validate) }
  } catch (error) {
    return { ok: false, pointer: '', reason: reasonOf(error) }
  }
}

/** In the words of the schema of schemas, and of what a word may be one of: which. */
function metaReasonOf({ message = 'it is not a schema', params }: SchemaError): string {
  const allowed: unknown = params.allowedValues
  return Array.isArray(allowed) ? `must be one of ${allowed.join(', ')}` : message
}

/** In the compiler's words, but where they say what another program would do. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'it cannot be compiled'
  const [, format, path] =
    /^unknown format "(.*)" ignored in schema at path "(.*)"$/.exec(error.message) ?? []
  if (format !== undefined) {
    return `the format "${format}" at "${path}" is not known; known are ${Object.keys(FORMATS).join(', ')}`
  }
  return error.message.startsWith('no schema with key or ref')
    ? '"$schema" names another dialect than that of JSON Schema 2020-12; leave it out'
    : error.message
}

/**
 * A schema of ours, compiled when it is first used. Whether it is a schema at all is what a test looks at: compiling the
 * schema of schemas takes as long as compiling ours, at every start.
 */
export function compileOwnSchema(schema: JsonObject): Validator {
  let compiled: Validator | null = null
  return {
    check(value) {
      compiled ??= validatorOf(createCompiler().compile(withoutId(schema)))
      return compiled.check(value)
    },
  }
}

function validatorOf(validate: ValidateFunction): Validator {
  return { check: (value) => run(validate, value) }
}

function withoutId(schema: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { $id: _, ...rest } = schema
  return rest
}

function metaSchemaErrors(schema: JsonSchema): SchemaError[] {
  if (metaAjv.validateSchema(schema) === true) return []
  return [...(metaAjv.errors ?? [])] as SchemaError[]
}

function run(validate: ValidateFunction, value: unknown): SchemaError[] {
  return validate(value) ? [] : ([...(validate.errors ?? [])] as SchemaError[])
}

/** Each round can make a value valid that hid further errors behind it; three are more than any schema needs. */
const COERCION_ROUNDS_MAX = 3

/**
 * Checks `value` and turns strings that came through `${…}` into the numbers and booleans that the schema wants at
 * their place. `value` is changed in place. Strings that a person wrote are never coerced.
 */
export function checkExpanded(
  validator: Validator,
  value: unknown,
  isExpanded: (pointer: string) => boolean,
): SchemaError[] {
  let errors = validator.check(value)
  for (let round = 0; round < COERCION_ROUNDS_MAX && errors.length > 0; round++) {
    let changed = false
    for (const error of errors) {
      if (!isExpanded(error.instancePath)) continue
      const text = readPointer(value, error.instancePath)
      const coerced = typeof text === 'string' ? coerce(text, wantedValues(error)) : undefined
      if (coerced === undefined) continue
      replaceAtPointer(value, error.instancePath, coerced)
      changed = true
    }
    if (!changed) break
    errors = validator.check(value)
  }
  return errors
}

interface Wanted {
  readonly types: readonly unknown[]
  /** Null: any of the types. */
  readonly values: readonly unknown[] | null
}

function wantedValues(error: SchemaError): Wanted {
  if (error.keyword === 'type') return { types: [error.params.type].flat(), values: null }
  if (error.keyword === 'const') return { types: [], values: [error.params.allowedValue] }
  if (error.keyword === 'enum') return { types: [], values: [error.params.allowedValues].flat() }
  return { types: [], values: [] }
}

function coerce(text: string, wanted: Wanted): number | boolean | undefined {
  if (wanted.values !== null) {
    const same = wanted.values.find((value) => typeof value !== 'string' && String(value) === text)
    return typeof same === 'number' || typeof same === 'boolean' ? same : undefined
  }
  if (wanted.types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true'
  if (wanted.types.includes('integer') && /^-?\d{1,15}$/.test(text)) return Number(text)
  if (wanted.types.includes('number') && /^-?\d{1,15}(\.\d{1,15})?$/.test(text)) return Number(text)
  return undefined
}
