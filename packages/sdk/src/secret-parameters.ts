import type { Cloneable, Context } from './index.ts'

/** Where the names stand in `ctx.values`: the names, never what a client sent under them. */
const KEY = 'cardea.secret-parameters'

/**
 * Says which parameters of the query hold secrets, for whoever writes addresses down: an access log asks
 * {@link secretParametersOf}. An {@link authGate} says it of its own sources.
 */
export function noteSecretParameters(ctx: Pick<Context, 'values'>, names: readonly string[]): void {
  const noted = secretParametersOf(ctx)
  // One array serves all exchanges, as long as one plugin has something to say.
  if (names.every((name) => noted.includes(name))) return
  ctx.values.set(KEY, (noted.length === 0 ? names : [...new Set([...noted, ...names])]) as Cloneable)
}

/** The names that plugins of this exchange have noted (so far). In every hook of every plugin of the chain. */
export function secretParametersOf(ctx: Pick<Context, 'values'>): readonly string[] {
  const noted = ctx.values.get(KEY)
  return Array.isArray(noted) ? (noted as readonly string[]) : NONE
}

const NONE: readonly string[] = []
