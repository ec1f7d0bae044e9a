import type { Middleware } from '@cardea/sdk'
import { editDistance } from '../config/nearest.ts'

/** The functions that a middleware may have besides `handle`. */
const OPTIONAL_HOOKS = [
  'onResponse',
  'onError',
  'onFinish',
  'validateConfig',
  'healthCheck',
  'updateConfig',
  'stop',
] as const

/** `maker`: what returned it. Throws TypeError for what is no middleware. */
export function checkedMiddleware(returned: unknown, maker: string): Middleware {
  if (typeof returned !== 'object' || returned === null) {
    throw new TypeError(
      `${maker} returned ${returned === null ? 'null' : typeof returned} instead of a middleware, ` +
        'an object with name and handle',
    )
  }
  const middleware = returned as Record<string, unknown>
  if (typeof middleware.name !== 'string' || middleware.name === '') {
    throw new TypeError(`${maker} returned a middleware without a name; give it a string`)
  }
  if (typeof middleware.handle !== 'function') {
    throw new TypeError(`${maker} returned a middleware without handle; give it a function handle(ctx)`)
  }
  for (const hook of OPTIONAL_HOOKS) {
    const value = middleware[hook]
    if (value !== undefined && typeof value !== 'function') {
      throw new TypeError(
        `${maker} returned a middleware whose ${hook} is not a function but ${typeof value}`,
      )
    }
  }
  refuseMisspelt(middleware, maker)
  return returned as Middleware
}

/**
 * A hook by another name is never called, and a plugin of which nothing is heard looks as if it had nothing to say. In an object
 * literal types allow no other members; an instance of a class may have methods of its own, whatever they are called.
 */
function refuseMisspelt(middleware: Readonly<Record<string, unknown>>, maker: string): void {
  if (Object.getPrototypeOf(middleware) !== Object.prototype) return
  const missing = OPTIONAL_HOOKS.filter((hook) => middleware[hook] === undefined)
  for (const [name, value] of Object.entries(middleware)) {
    const meant = typeof value === 'function' ? missing.find((hook) => isMisspelt(name, hook)) : undefined
    if (meant === undefined) continue
    throw new TypeError(`${maker} returned a middleware whose ${name} nothing calls; did you mean ${meant}?`)
  }
}

/** Four letters are too few to tell. */
function isMisspelt(name: string, hook: string): boolean {
  const likeness = editDistance(name.toLowerCase(), hook.toLowerCase())
  return hook.length > 4 && likeness <= (hook.length < 10 ? 1 : 2)
}
