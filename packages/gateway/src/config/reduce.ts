import { isObject } from './pointer.ts'
import type { SchemaError } from './validator.ts'

/**
 * A value that fits no alternative of a schema makes the validator report the failures of all of them. This keeps
 * those of the alternative that was probably meant, or the failure of the whole choice.
 */

/** Keywords whose failure at the value itself says that another form was meant. */
const FORM_KEYWORDS = new Set(['type', 'const', 'enum', 'false schema'])

/** Reports that only repeat what others say in detail. */
const WRAPPERS = new Set(['if', 'propertyNames'])

export function reduceErrors(
  errors: readonly SchemaError[],
  knownKeys: (schema: unknown) => readonly string[],
): SchemaError[] {
  const reduced = errors.filter((error) => errors.length === 1 || !WRAPPERS.has(error.keyword))
  return reduceChoices(reduced).filter((error) => !isAfterEffect(error, errors, knownKeys))
}

function reduceChoices(errors: readonly SchemaError[]): SchemaError[] {
  const [choice] = errors.filter(isChoice).sort((a, b) => a.schemaPath.length - b.schemaPath.length)
  if (choice === undefined) return [...errors]
  const branches = branchErrors(choice, errors)
  const inBranches = new Set(branches.flat())
  const others = errors.filter((error) => error !== choice && !inBranches.has(error))
  const meant = meantBranch(choice, branches)
  return [...(meant === null ? [choice] : reduceChoices(meant)), ...reduceOthers(choice, others)]
}

/** The choice itself is done; without it the rest gets smaller each time, so this ends. */
function reduceOthers(choice: SchemaError, others: readonly SchemaError[]): SchemaError[] {
  const under = (error: SchemaError) => isSameOrBelow(error.instancePath, choice.instancePath)
  // What came from a reference that is not attributed to a branch still belongs to the failed choice.
  return reduceChoices(others.filter((error) => !(under(error) && error.schemaPath.startsWith('#/$defs/'))))
}

function isChoice(error: SchemaError): boolean {
  return error.keyword === 'anyOf' || error.keyword === 'oneOf'
}

function branchErrors(choice: SchemaError, errors: readonly SchemaError[]): SchemaError[][] {
  const schemas: readonly unknown[] = Array.isArray(choice.schema) ? choice.schema : []
  return schemas.map((schema, index) => {
    const prefixes = [`${choice.schemaPath}/${index}/`]
    if (isObject(schema) && typeof schema.$ref === 'string') prefixes.push(`${schema.$ref}/`)
    return errors.filter(
      (error) =>
        error !== choice &&
        isSameOrBelow(error.instancePath, choice.instancePath) &&
        prefixes.some((prefix) => error.schemaPath.startsWith(prefix)),
    )
  })
}

function isSameOrBelow(pointer: string, ancestor: string): boolean {
  return pointer === ancestor || pointer.startsWith(`${ancestor}/`)
}

/** The errors of the only alternative whose form fits, or of the one that is nearest to it; null when none is. */
function meantBranch(choice: SchemaError, branches: readonly SchemaError[][]): readonly SchemaError[] | null {
  const fitting = branches.filter(
    (errors) =>
      errors.length > 0 &&
      !errors.some((error) => error.instancePath === choice.instancePath && FORM_KEYWORDS.has(error.keyword)),
  )
  if (fitting.length === 1) return fitting[0] ?? null
  // Alternatives that are told apart by a constant member, such as `kind`.
  const sameKind = fitting.filter(
    (errors) => !errors.some((error) => FORM_KEYWORDS.has(error.keyword) && error.keyword !== 'type'),
  )
  return sameKind.length === 1 ? (sameKind[0] ?? null) : null
}

/** A part that failed counts as not having looked at its keys; those that it knows are then called unknown. */
function isAfterEffect(
  error: SchemaError,
  errors: readonly SchemaError[],
  knownKeys: (schema: unknown) => readonly string[],
): boolean {
  if (error.keyword !== 'unevaluatedProperties') return false
  const others = errors.some((other) => other.keyword !== 'unevaluatedProperties')
  return others && knownKeys(error.parentSchema).includes(String(error.params.unevaluatedProperty))
}
