import { importDirections, undeclaredPackages } from './import-rules.ts'
import type { Exception, Offence, Rule } from './offence.ts'
import { deadFiles } from './reachability.ts'
import type { SourceTree } from './source-tree.ts'
import { anyTypes, defaultExports, leftovers, longFiles, longFunctions, registryHosts } from './text-rules.ts'

export const RULES: readonly Rule[] = [
  importDirections,
  undeclaredPackages,
  deadFiles,
  leftovers,
  longFiles,
  longFunctions,
  defaultExports,
  anyTypes,
  registryHosts,
]

/**
 * Every complaint at once, one line each: the offences that no exception covers, and the exceptions that cover nothing
 * (any more), so that the list can only shrink.
 */
export function complaints(tree: SourceTree, exceptions: readonly Exception[]): string[] {
  const offences = RULES.flatMap((rule) => rule(tree))
  const covers = (exception: Exception, { rule, subject }: Offence): boolean =>
    exception.rule === rule && exception.subject === subject
  const open = offences.filter((found) => !exceptions.some((exception) => covers(exception, found)))
  const idle = exceptions.filter((exception) => !offences.some((found) => covers(exception, found)))
  return [
    ...open.map(({ path, line, rule, message }) => `${path}:${line}: ${message} [${rule}]`),
    ...idle.map(
      ({ rule, subject }) => `${subject}: the exception from ${rule} is not needed any more; remove it`,
    ),
  ]
}
