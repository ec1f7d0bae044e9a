/** What a plugin gave in the place of something else, for a message. */
export function kindOf(given: unknown): string {
  if (typeof given !== 'object') return typeof given
  return given === null ? 'null' : `an object (${Object.prototype.toString.call(given).slice(8, -1)})`
}

/** The same, with its value where that is short. */
export function shown(given: unknown): string {
  return typeof given === 'string' || typeof given === 'number' ? JSON.stringify(given) : kindOf(given)
}
