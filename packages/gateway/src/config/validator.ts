import type { Ajv2020, ErrorObject, ValidateFunction } from 'ajv/dist/2020.js'
import { createAjv } from './dialect.ts'
import { FORMATS } from './formats.ts'
import { readPointer, replaceAtPointer } from './pointer.ts'
import type { JsonObject, JsonSchema } from './types.ts'

/** Compiles the schemas of plugins' configs, and checks values by what was compiled. */

export type SchemaError = ErrorObject<string, Record<string, unknown>>

/** Each validator runs a few times: to make it better takes longer than it saves. */
const code = { optimize: false } as const

/** Only says whether schemas are schemas; made by the first plugin that has one. */
let metaAjv: Ajv2020 | null = null

/**
 * An ajv keeps all that it ever compiled, whatever is removed from it again, so each schema gets its own (0.6 ms),
 * which goes with the validator. What checks schemas themselves is shared: it costs 30 ms.
 */
function createCompiler(): Ajv2020 {
  return createAjv({ meta: false, validateSchema: false, code })
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

/** A schema of ours, compiled when it is first used. */
export function compileLazily(schema: JsonObject): Validator {
  let compiled: Validator | null = null
  return {
    check(value) {
      compiled ??= validatorOf(createCompiler().compile(schema))
      return compiled.check(value)
    },
  }
}

export function validatorOf(validate: ValidateFunction): Validator {
  return { check: (value) => run(validate, value) }
}

function withoutId(schema: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { $id: _, ...rest } = schema
  return rest
}

function metaSchemaErrors(schema: JsonSchema): SchemaError[] {
  metaAjv ??= createAjv({ code })
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
