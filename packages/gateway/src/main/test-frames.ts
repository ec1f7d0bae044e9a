/**
 * What leads the stack frames of plugins that tests load back to the plugins' files. The harness knows them; who reads a
 * stack beside it is in another bundle (`build/bundle.js`), with modules of its own. So they meet in the realm.
 */

const KEY = Symbol.for('cardea.testFrames')

type MapStack = (error: Error) => string

/** By what a plugin's code is known by: a hundred tests of a folder load it once each. */
export function keepTestFrames(codeHash: string, mapStack: MapStack): void {
  known().set(codeHash, mapStack)
}

/** The stack of an error, of whichever plugin. */
export function mapTestFrames(error: Error): string {
  for (const mapStack of known().values()) {
    const mapped = mapStack(error)
    if (mapped !== error.stack) return mapped
  }
  return error.stack ?? ''
}

function known(): Map<string, MapStack> {
  const realm = globalThis as { [KEY]?: Map<string, MapStack> }
  realm[KEY] ??= new Map()
  return realm[KEY]
}
