import type { PathPattern } from './pattern.ts'

/** What the router asks of a request's fields. */
export interface FieldReader {
  get(name: string): string | null
}

/** One path of one route: what a search finds. */
export interface Leaf<Bound> {
  readonly bound: Bound
  readonly pattern: PathPattern
  readonly methods: readonly string[]
  readonly headers: readonly HeaderCondition[]
}

export interface HeaderCondition {
  readonly name: string
  /** Null: the field must be there. */
  readonly value: string | null
}

/** Up to this many children are compared one by one, which spares a slice; past it a Map is faster. */
const CHILDREN_COMPARED_MAX = 8

/**
 * The paths of one host pattern, as a tree of segments. A search goes depth first, literal before parameter before
 * prefix, and comes back when a branch fails further down, so the most specific path whose method and headers match is
 * found first. No node is visited twice in one search: its cost is bounded by the configuration, not by the request.
 */
export class PathTree<Bound> {
  readonly #root = new Node<Bound>()

  add(leaf: Leaf<Bound>): void {
    let node = this.#root
    for (const segment of leaf.pattern.segments) node = node.child(segment)
    if (leaf.pattern.prefix) {
      node.prefix ??= new LeafGroup()
      node.prefix.add(leaf)
    } else {
      node.exact ??= new LeafGroup()
      node.exact.add(leaf)
    }
  }

  /** `path` is normalised and folded. */
  find(path: string, method: string, fields: FieldReader): Leaf<Bound> | null {
    return search(this.#root, path, 1, method, fields)
  }

  /** Adds every method that would have found a leaf for this path and these fields. */
  collectMethods(path: string, fields: FieldReader, methods: Set<string>): void {
    collect(this.#root, path, 1, fields, methods)
  }
}

class Node<Bound> {
  exact: LeafGroup<Bound> | null = null
  prefix: LeafGroup<Bound> | null = null
  param: Node<Bound> | null = null
  readonly #names: string[] = []
  readonly #nodes: Node<Bound>[] = []
  #byName: Map<string, Node<Bound>> | null = null

  child(segment: string | null): Node<Bound> {
    if (segment === null) {
      this.param ??= new Node()
      return this.param
    }
    const known = this.#byName?.get(segment) ?? this.#nodes[this.#indexOf(segment)]
    if (known !== undefined) return known
    const node = new Node<Bound>()
    this.#names.push(segment)
    this.#nodes.push(node)
    if (this.#names.length > CHILDREN_COMPARED_MAX) {
      this.#byName ??= new Map(this.#names.map((name, index) => [name, this.#nodes[index] ?? node]))
      this.#byName.set(segment, node)
    }
    return node
  }

  /** -1 where the table knows better: among very many children a search for each would take its square. */
  #indexOf(segment: string): number {
    return this.#byName === null ? this.#names.indexOf(segment) : -1
  }

  get isEnd(): boolean {
    return this.param === null && this.#names.length === 0
  }

  /** The child for the literal segment `path[start, end)`. */
  literal(path: string, start: number, end: number): Node<Bound> | undefined {
    if (this.#byName !== null) return this.#byName.get(path.slice(start, end))
    const names = this.#names
    for (let index = 0; index < names.length; index++) {
      const name = names[index]
      if (name !== undefined && name.length === end - start && path.startsWith(name, start)) {
        return this.#nodes[index]
      }
    }
    return undefined
  }
}

/** The leaves of one path: told apart by method, then by headers. */
class LeafGroup<Bound> {
  readonly #leaves: Leaf<Bound>[] = []
  /** Per method the leaves that name it, in the order of trial; null while all leaves take every method. */
  #byMethod: Map<string, Leaf<Bound>[]> | null = null
  /** HEAD is answered by a GET route too (RFC 9110, 9.3.2), after routes that name it. */
  readonly #impliedHead: Leaf<Bound>[] = []
  /** Those that take every method: tried last. */
  readonly #anyMethod: Leaf<Bound>[] = []

  add(leaf: Leaf<Bound>): void {
    this.#leaves.push(leaf)
    if (leaf.methods.length === 0) insert(leaf, this.#anyMethod)
    for (const method of new Set(leaf.methods)) {
      this.#byMethod ??= new Map()
      const naming = this.#byMethod.get(method)
      if (naming === undefined) this.#byMethod.set(method, [leaf])
      else insert(leaf, naming)
    }
    if (leaf.methods.includes('GET') && !leaf.methods.includes('HEAD')) insert(leaf, this.#impliedHead)
  }

  select(method: string, fields: FieldReader): Leaf<Bound> | null {
    let found: Leaf<Bound> | null = null
    if (this.#byMethod !== null) {
      const naming = this.#byMethod.get(method)
      if (naming !== undefined) found = firstOf(naming, fields)
      if (found === null && method === 'HEAD') found = firstOf(this.#impliedHead, fields)
    }
    return found ?? firstOf(this.#anyMethod, fields)
  }

  collectMethods(fields: FieldReader, methods: Set<string>): void {
    for (const leaf of this.#leaves) {
      if (!headersMatch(leaf.headers, fields)) continue
      for (const method of leaf.methods) methods.add(method)
      if (leaf.methods.includes('GET')) methods.add('HEAD')
    }
  }
}

function firstOf<Bound>(leaves: readonly Leaf<Bound>[], fields: FieldReader): Leaf<Bound> | null {
  for (let index = 0; index < leaves.length; index++) {
    const leaf = leaves[index]
    if (leaf !== undefined && headersMatch(leaf.headers, fields)) return leaf
  }
  return null
}

/** Behind all that `byHeaders` does not put after it. To sort the leaves for each one would take their square. */
function insert<Bound>(leaf: Leaf<Bound>, leaves: Leaf<Bound>[]): void {
  let start = 0
  let end = leaves.length
  while (start < end) {
    const middle = (start + end) >>> 1
    const known = leaves[middle]
    if (known !== undefined && byHeaders(known, leaf) <= 0) start = middle + 1
    else end = middle
  }
  leaves.splice(start, 0, leaf)
}

/** More conditions first; of as many, more values before mere presence. What is equal keeps the order of configuration. */
function byHeaders<Bound>(one: Leaf<Bound>, other: Leaf<Bound>): number {
  const byCount = other.headers.length - one.headers.length
  return byCount !== 0 ? byCount : valueCount(other.headers) - valueCount(one.headers)
}

function valueCount(headers: readonly HeaderCondition[]): number {
  return headers.filter((condition) => condition.value !== null).length
}

function headersMatch(conditions: readonly HeaderCondition[], fields: FieldReader): boolean {
  for (let index = 0; index < conditions.length; index++) {
    const condition = conditions[index]
    if (condition === undefined) continue
    const value = fields.get(condition.name)
    if (value === null || (condition.value !== null && condition.value !== value)) return false
  }
  return true
}

/** `start` is where the next segment starts; past the end of the path when none is left. */
function search<Bound>(
  node: Node<Bound>,
  path: string,
  start: number,
  method: string,
  fields: FieldReader,
): Leaf<Bound> | null {
  let found: Leaf<Bound> | null = null
  if (start > path.length) {
    if (node.exact !== null) found = node.exact.select(method, fields)
  } else if (!node.isEnd) {
    const slash = path.indexOf('/', start)
    const end = slash === -1 ? path.length : slash
    const literal = node.literal(path, start, end)
    if (literal !== undefined) found = search(literal, path, end + 1, method, fields)
    if (found === null) {
      const bare = withoutParameters(node, path, start, end)
      if (bare !== undefined) found = search(bare, path, end + 1, method, fields)
    }
    // A parameter is never empty: `/users/` is not the user with no name.
    if (found === null && node.param !== null && end > start) {
      found = search(node.param, path, end + 1, method, fields)
    }
  }
  return found === null && node.prefix !== null ? node.prefix.select(method, fields) : found
}

function collect<Bound>(
  node: Node<Bound>,
  path: string,
  start: number,
  fields: FieldReader,
  methods: Set<string>,
): void {
  node.prefix?.collectMethods(fields, methods)
  if (start > path.length) {
    node.exact?.collectMethods(fields, methods)
    return
  }
  const slash = path.indexOf('/', start)
  const end = slash === -1 ? path.length : slash
  const literal = node.literal(path, start, end)
  if (literal !== undefined) collect(literal, path, end + 1, fields, methods)
  const bare = withoutParameters(node, path, start, end)
  if (bare !== undefined) collect(bare, path, end + 1, fields, methods)
  if (node.param !== null && end > start) collect(node.param, path, end + 1, fields, methods)
}

/**
 * The child for the literal segment without its parameters (`;x=y`): servlet containers take `/admin;x` for `/admin`, so
 * it must not walk past the plugins there. Never the child for the whole segment.
 */
function withoutParameters<Bound>(
  node: Node<Bound>,
  path: string,
  start: number,
  end: number,
): Node<Bound> | undefined {
  const semicolon = path.indexOf(';', start)
  return semicolon === -1 || semicolon >= end ? undefined : node.literal(path, start, semicolon)
}
