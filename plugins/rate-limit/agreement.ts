import type { PlacedInstance, Placement } from '@cardea/sdk'
import { type Config, type Limit, limitsOf } from './config.ts'

/** Configs are the same frozen objects for all instances of a generation: each is read once, not once by each other. */
const limitsByConfig = new WeakMap<object, readonly Limit[]>()

/**
 * Limits of one name and key are one limit: its bucket would go by the numbers of whoever asked last, and fill by the most
 * generous of them. Throws an Error when another instance has other numbers for one of these limits.
 */
export function refuseDisagreement(limits: readonly Limit[], { routes, others }: Placement<Config>): void {
  for (const other of others) {
    for (const theirs of limitsOfOther(other)) {
      const ours = limits.find((limit) => isSameLimit(limit, theirs) && meets(limit, routes, other.routes))
      if (ours === undefined || numbersOf(ours) === numbersOf(theirs)) continue
      throw new Error(
        `Limit "${ours.name}" by ${ours.key.join(', ')} is ${numbersOf(ours)}${placeOf(routes)}, and ` +
          `${numbersOf(theirs)}${placeOf(other.routes)}; limits of one name and key are one limit. Give one of ` +
          'them another `name`, or the same numbers',
      )
    }
  }
}

/** None of a config that is not valid: its own instance refuses it. */
function limitsOfOther({ name, config }: PlacedInstance<Config>): readonly Limit[] {
  const known = limitsByConfig.get(config)
  if (known !== undefined) return known
  let limits: readonly Limit[] = []
  try {
    limits = limitsOf(config, name)
  } catch {}
  limitsByConfig.set(config, limits)
  return limits
}

function isSameLimit(one: Limit, other: Limit): boolean {
  return one.name === other.name && one.key.join() === other.key.join()
}

/** With the route in their key they are one limit only on a route that has both. */
function meets({ key }: Limit, ours: readonly string[], theirs: readonly string[]): boolean {
  return !key.includes('route') || ours.some((route) => theirs.includes(route))
}

function numbersOf({ limit, windowMs, algorithm, burst }: Limit): string {
  const extra = burst === limit ? '' : `, burst ${burst}`
  return `${limit} in ${windowMs / 1_000} s (${algorithm}${extra})`
}

function placeOf(routes: readonly string[]): string {
  const [first] = routes
  if (first === undefined) return ''
  const more = routes.length > 1 ? ` and ${routes.length - 1} more` : ''
  return ` on route ${first}${more}`
}
