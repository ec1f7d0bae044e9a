/** A copy of a state, and about how many bytes it takes. */
export interface StateClone {
  readonly value: unknown
  readonly bytes: number
}

/** Per value: V8's own bookkeeping, roughly. What counts is that many small things are not taken for nothing. */
const OVERHEAD_BYTES = 16

/** What structured cloning gives back as what it was, besides records. */
const PLAIN: ReadonlySet<unknown> = new Set(
  [
    Array,
    Map,
    Set,
    Date,
    RegExp,
    ArrayBuffer,
    DataView,
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
  ].map(({ prototype }) => prototype),
)

/**
 * A structured clone of `value`, or null when a clone would not be the same thing (functions, symbols, instances of
 * classes, whose methods and private fields would be gone) or would be larger than `bytesMax`. Looks at no more than
 * that: the state of a busy plugin may be very large, and the worker serves nobody meanwhile.
 */
export function copyState(value: unknown, bytesMax: number): StateClone | null {
  try {
    const bytes = bytesOf(value, bytesMax)
    return bytes === null ? null : { value: structuredClone(value), bytes }
  } catch {
    // An accessor of the plugin's that throws, or a value that only the algorithm itself can tell to be impossible.
    return null
  }
}

function bytesOf(value: unknown, bytesMax: number): number | null {
  const seen = new Set<object>()
  const open: unknown[] = [value]
  let bytes = 0
  while (open.length > 0) {
    const next = open.pop()
    bytes += OVERHEAD_BYTES
    if (typeof next === 'string') bytes += next.length
    else if (typeof next === 'function' || typeof next === 'symbol') return null
    else if (typeof next === 'object' && next !== null && !seen.has(next)) {
      seen.add(next)
      const own = openUp(next, open, bytesMax - bytes)
      if (own === null) return null
      bytes += own
    }
    if (bytes > bytesMax) return null
  }
  return bytes
}

/** Puts the members of an object to the others; returns what it takes beyond them, or null for what is not data. */
function openUp(object: object, open: unknown[], bytesLeft: number): number | null {
  const prototype: unknown = Object.getPrototypeOf(object)
  if (prototype === Object.prototype || prototype === null) return openRecord(object, open, bytesLeft)
  // Not of a subclass, which would come back as what it extends. That goes for Buffer too.
  if (!PLAIN.has(prototype)) return null
  if (Array.isArray(object)) return collect(object.length, object, open, bytesLeft)
  if (object instanceof Map) return collect(2 * object.size, flattened(object), open, bytesLeft)
  if (object instanceof Set) return collect(object.size, object, open, bytesLeft)
  return ArrayBuffer.isView(object) || object instanceof ArrayBuffer ? object.byteLength : 0
}

function openRecord(object: object, open: unknown[], bytesLeft: number): number | null {
  const members = Object.values(object)
  let bytes = 0
  for (const key of Object.keys(object)) bytes += key.length
  return collect(members.length, members, open, bytesLeft) === null ? null : bytes
}

function* flattened(map: ReadonlyMap<unknown, unknown>): Iterable<unknown> {
  for (const [key, value] of map) {
    yield key
    yield value
  }
}

function collect(count: number, members: Iterable<unknown>, open: unknown[], bytesLeft: number): 0 | null {
  // More members than bytes left: not worth a look at any of them.
  if (count * OVERHEAD_BYTES > bytesLeft) return null
  for (const member of members) open.push(member)
  return 0
}
