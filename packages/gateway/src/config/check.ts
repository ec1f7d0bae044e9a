import type { ErrorCode } from '../base/errors.ts'
import { describeSchema, oneOf } from './describe.ts'
import { nearestOf } from './nearest.ts'
import { describePointer, isObject, joinPointer } from './pointer.ts'
import { leftOut, PROBLEMS_TOLD_MAX, shorten, valueProblem } from './problem.ts'
import { reduceErrors } from './reduce.ts'
import { inPlaceParts } from './schema-walk.ts'
import { isSecretAt, secretsIn } from './secret-schema.ts'
import type { ConfigProblem, JsonSchema, Position, SourceMap } from './types.ts'
import type { SchemaError } from './validator.ts'

/** Turns what the schema validator says into problems that a person can act on. */

export interface CheckContext {
  readonly code: ErrorCode
  readonly source: SourceMap
  /** Where in the file the checked value starts. */
  readonly pointer: string
  /** For references inside it. */
  readonly schema: JsonSchema
}

/** One problem for each thing that is wrong: the noise of alternatives is reduced to what was probably meant. */
export function schemaProblems(errors: readonly SchemaError[], context: CheckContext): ConfigProblem[] {
  if (errors.length === 0) return []
  const secrets = secretsIn(context.schema, context.source.written(context.pointer))
  const reduced = reduceErrors(errors, (schema) => knownKeys(schema, context.schema))
  const problems = reduced.slice(0, PROBLEMS_TOLD_MAX).map((error) => explain(error, context, secrets))
  const next = reduced[PROBLEMS_TOLD_MAX]
  if (next !== undefined)
    problems.push(leftOut(explain(next, context, secrets), reduced.length - PROBLEMS_TOLD_MAX))
  return besideSecrets(
    problems,
    secrets.map((pointer) => context.source.locate(context.pointer + pointer)),
  )
}

/** With what their excerpts must not show: secrets may stand in the same line. */
export function besideSecrets(
  problems: readonly ConfigProblem[],
  secrets: readonly Position[],
): ConfigProblem[] {
  return problems.map((problem) => {
    const beside = secrets.filter(({ file, line }) => file === problem.file && line === problem.line)
    const columns = beside.map(({ column }) => column)
    const secretColumn = Math.min(problem.secretColumn ?? Infinity, ...columns)
    return secretColumn === Infinity ? problem : { ...problem, secretColumn }
  })
}

function explain(error: SchemaError, context: CheckContext, secrets: readonly string[]): ConfigProblem {
  const { code, source } = context
  const pointer = context.pointer + error.instancePath
  if (error.propertyName !== undefined) return explainName(error, error.propertyName, context)
  switch (error.keyword) {
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return explainUnknownKey(error, context)
    case 'required':
    case 'dependentRequired': {
      const missing = String(error.params.missingProperty)
      const properties = isObject(error.parentSchema?.properties) ? error.parentSchema.properties : {}
      const expected = describeSchema(properties[missing])
      const missingPointer = joinPointer(pointer, missing)
      return valueProblem({
        code,
        source,
        pointer: missingPointer,
        expected,
        message: `"${describePointer(missingPointer)}" is missing, expected ${expected}.`,
      })
    }
    default: {
      const given = source.written(pointer)
      const nearest = source.isExpanded(pointer) ? null : nearestValue(given, error.parentSchema)
      const { instancePath } = error
      const hidden =
        isSecretAt(context.schema, instancePath) ||
        secrets.some((secret) => secret.startsWith(`${instancePath}/`))
      return valueProblem({ code, source, pointer, expected: expectation(error), nearest, hidden })
    }
  }
}

function explainUnknownKey(error: SchemaError, context: CheckContext): ConfigProblem {
  const key = String(error.params.additionalProperty ?? error.params.unevaluatedProperty)
  const keys = knownKeys(error.parentSchema, context.schema)
  const nearest = nearestOf(key, keys)
  const pointer = joinPointer(context.pointer + error.instancePath, key)
  const expected = keys.length === 0 ? 'no key here' : oneOf(keys)
  const general = String(error.parentSchema?.unknownKeyHint ?? '')
  const hint = nearest === null ? general : `Did you mean "${nearest}"?`
  // It may be a secret under a misspelt name.
  const hidden = keys.some((known) => isSecretAt(context.schema, joinPointer(error.instancePath, known)))
  const { hidden: _, ...problem } = valueProblem({
    code: context.code,
    source: context.source,
    pointer,
    expected,
    nearest,
    hidden,
    message: `"${describePointer(pointer)}" is not a known key, expected ${expected}.${hint === '' ? '' : ` ${hint}`}`,
    atKey: true,
  })
  return hidden ? (besideSecrets([problem], [context.source.locate(pointer)])[0] ?? problem) : problem
}

function explainName(error: SchemaError, name: string, context: CheckContext): ConfigProblem {
  const pointer = joinPointer(context.pointer + error.instancePath, name)
  const expected = describeSchema(error.parentSchema)
  return {
    ...valueProblem({ code: context.code, source: context.source, pointer, expected, atKey: true }),
    given: shorten(name),
    message: `The name ${shorten(name)} in "${describePointer(context.pointer + error.instancePath)}" is not allowed, expected ${expected}.`,
  }
}

function expectation(error: SchemaError): string {
  const limit = Number(error.params.limit)
  switch (error.keyword) {
    case 'minItems':
      return `at least ${limit} ${limit === 1 ? 'item' : 'items'}`
    case 'maxItems':
      return `at most ${limit} items`
    case 'minLength':
      return limit === 1 ? 'a string that is not empty' : `a string of at least ${limit} characters`
    case 'maxLength':
      return `a string of at most ${limit} characters`
    case 'uniqueItems':
      return 'items that all differ'
    case 'multipleOf':
      return `a multiple of ${error.params.multipleOf}`
    case 'oneOf':
      return expectedOneOf(error)
    case 'false schema':
      return 'no value here'
    case 'anyOf':
    case 'type':
    case 'enum':
    case 'const':
    case 'format':
    case 'formatMinimum':
    case 'formatMaximum':
    case 'pattern':
    case 'minimum':
    case 'maximum':
      return describeSchema(error.parentSchema)
    default:
      // Ajv's own words hold keywords and limits of the schema, never the value.
      return `that it ${(error.message ?? 'must be valid').replace('NOT', 'not')}`
  }
}

function expectedOneOf(error: SchemaError): string {
  if (Array.isArray(error.params.passingSchemas)) return 'a value of exactly one of the allowed forms'
  return describeSchema(error.parentSchema)
}

function nearestValue(given: unknown, schema: unknown): string | null {
  return typeof given === 'string' ? nearestOf(given, allowedTexts(schema)) : null
}

/** Values that the schema names one by one, as text: a misspelt `false` is a string in YAML. */
function allowedTexts(schema: unknown): string[] {
  if (!isObject(schema)) return []
  const branches = [schema.anyOf, schema.oneOf].flatMap((list) => (Array.isArray(list) ? list : []))
  const values = [
    ...('const' in schema ? [schema.const] : []),
    ...(Array.isArray(schema.enum) ? schema.enum : []),
    ...(schema.type === 'boolean' ? [true, false] : []),
  ]
  return [
    ...values.filter((value) => typeof value === 'string' || typeof value === 'boolean').map(String),
    ...branches.flatMap(allowedTexts),
  ]
}

/** The keys that an object of this schema may have, alternatives and references in the same place included. */
export function knownKeys(schema: unknown, root: JsonSchema, seen = new Set<unknown>()): string[] {
  if (!isObject(schema) || seen.has(schema)) return []
  seen.add(schema)
  const keys = isObject(schema.properties) ? Object.keys(schema.properties) : []
  for (const part of inPlaceParts(schema, root)) keys.push(...knownKeys(part, root, seen))
  return [...new Set(keys)]
}
