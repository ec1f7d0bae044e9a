import type {
  BodyOptions,
  BodyTransform,
  Cloneable,
  Context,
  ExchangeError,
  FinishRecord,
  Middleware,
  PluginMain,
  Request,
  Response,
  ResponseInit,
} from '../index.ts'

/**
 * Puts a copy in the way of everything that would cross a process if the plugin ran isolated, so that what cannot be
 * copied, or only works because both sides share an object, fails in the test as it would fail there.
 *
 * `onRecord` is told each exchange's record.
 */
export function cloningMain(main: PluginMain, onRecord: (record: FinishRecord) => void): PluginMain {
  return (config, host) => {
    const made = main(config, host)
    return made instanceof Promise
      ? made.then((middleware) => cloningMiddleware(middleware, onRecord))
      : cloningMiddleware(made, onRecord)
  }
}

function cloningMiddleware(middleware: Middleware, onRecord: (record: FinishRecord) => void): Middleware {
  // What is no middleware is refused by the gateway, in its own words.
  if (!isObject(middleware) || typeof middleware.handle !== 'function') return middleware
  const contexts = new WeakMap<Context, Context>()
  const contextOf = (context: Context): Context => {
    const known = contexts.get(context) ?? cloningContext(context)
    contexts.set(context, known)
    return known
  }
  const { onResponse, onError, onFinish } = middleware
  return overlay(middleware, {
    handle: (context: Context) => middleware.handle(contextOf(context)),
    ...(typeof onResponse === 'function' && {
      onResponse: (context: Context) => middleware.onResponse?.(contextOf(context)),
    }),
    ...(typeof onError === 'function' && {
      onError: (context: Context, error: ExchangeError) =>
        middleware.onError?.(contextOf(context), structuredClone(error)),
    }),
    ...((onFinish === undefined || typeof onFinish === 'function') && {
      onFinish: (context: Context, record: FinishRecord) => {
        onRecord(structuredClone(record))
        return middleware.onFinish?.(contextOf(context), structuredClone(record))
      },
    }),
  })
}

function cloningContext(context: Context): Context {
  let request: Request | null = null
  let response: Response | null = null
  let values: CloningMap | null = null
  return overlay(context, {
    get request() {
      const own = context.request
      request ??= cloningRequest(own)
      return request
    },
    get response() {
      const own = context.response
      response ??= cloningResponse(own)
      return response
    },
    // As it is: a function would come out of the overlay bound, and another one each time.
    get own() {
      return context.own
    },
    get values() {
      const own = context.values
      // After another plugin's timeout the exchange goes on with a map that it alone holds.
      if (values?.isOf(own) !== true) values = new CloningMap(own)
      return values
    },
  })
}

function cloningRequest(request: Request): Request {
  return overlay(request, {
    transformBody(transform: BodyTransform, options?: BodyOptions) {
      request.transformBody(cloningTransform(transform), options)
    },
  })
}

function cloningResponse(response: Response): Response {
  return overlay(response, {
    send: (body?: string | Uint8Array | null, init?: ResponseInit) =>
      response.send(structuredClone(body), structuredClone(init)),
    json: (value: unknown, init?: ResponseInit) =>
      response.json(structuredClone(value), structuredClone(init)),
    transformBody(transform: BodyTransform, options?: BodyOptions) {
      response.transformBody(cloningTransform(transform), options)
    },
  })
}

/** Chunks are plain bytes of their own in both directions. */
function cloningTransform(transform: BodyTransform): BodyTransform {
  // What is no function is refused by the gateway, in its own words.
  if (typeof transform !== 'function') return transform
  return (chunk, last) => {
    const made = transform(new Uint8Array(chunk), last)
    return made instanceof Promise ? made.then((late) => structuredClone(late)) : structuredClone(made)
  }
}

/** A view of a map whose values are copied on their way in and out. */
class CloningMap extends Map<string, Cloneable> {
  readonly #shared: Map<string, Cloneable>

  constructor(shared: Map<string, Cloneable>) {
    super()
    this.#shared = shared
  }

  isOf(shared: Map<string, Cloneable>): boolean {
    return this.#shared === shared
  }

  override get size(): number {
    return this.#shared.size
  }

  override get(key: string): Cloneable {
    return structuredClone(this.#shared.get(key))
  }

  override has(key: string): boolean {
    return this.#shared.has(key)
  }

  override set(key: string, value: Cloneable): this {
    this.#shared.set(key, structuredClone(value))
    return this
  }

  override delete(key: string): boolean {
    return this.#shared.delete(key)
  }

  override clear(): void {
    this.#shared.clear()
  }

  override forEach(callback: (value: Cloneable, key: string, map: Map<string, Cloneable>) => void): void {
    for (const [key, value] of this) callback(value, key, this)
  }

  override keys(): MapIterator<string> {
    return this.#shared.keys()
  }

  override *values(): MapIterator<Cloneable> {
    for (const value of this.#shared.values()) yield structuredClone(value)
  }

  override *entries(): MapIterator<[string, Cloneable]> {
    for (const [key, value] of this.#shared) yield [key, structuredClone(value)]
  }

  override [Symbol.iterator](): MapIterator<[string, Cloneable]> {
    return this.entries()
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** `target`, with some members replaced. Methods keep running on the target, whose fields may be private. */
function overlay<T extends object>(target: T, members: Partial<T>): T {
  // Over an empty object: a frozen target would not let a proxy of its own answer for it.
  return new Proxy({} as T, {
    get(_, key) {
      if (Object.hasOwn(members, key)) return Reflect.get(members, key)
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
    set: (_, key, value) => Reflect.set(target, key, value, target),
    has: (_, key) => Object.hasOwn(members, key) || Reflect.has(target, key),
  })
}
