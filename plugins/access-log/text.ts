/**
 * What a client sent is text to be written, never structure: no line break, no quote and no escape sequence of a terminal
 * gets into a line. Lines are ASCII, so that no reader can take them for anything else.
 */

/** Longer values are cut: one request shall not fill a log. */
const VALUE_LENGTH_MAX = 8_192

const PLAIN = /^[ !#-[\]-~]*$/
const UNSAFE = /[^ !#-[\]-~]/g
const NOT_ASCII = /[\x7f-\uffff]/g

/** For the text formats, as nginx does it: `\xHH` for a byte, `\uHHHH` for what no byte holds. */
export function escaped(value: string): string {
  const text = shortened(value)
  return PLAIN.test(text) ? text : text.replaceAll(UNSAFE, escapeOf)
}

/** A JSON string. */
export function quoted(value: string): string {
  const text = shortened(value)
  if (PLAIN.test(text)) return `"${text}"`
  return JSON.stringify(text).replaceAll(NOT_ASCII, (char) => `\\u${hex(char, 4)}`)
}

function escapeOf(char: string): string {
  return char.charCodeAt(0) <= 0xff ? `\\x${hex(char, 2).toUpperCase()}` : `\\u${hex(char, 4)}`
}

function hex(char: string, length: number): string {
  return char.charCodeAt(0).toString(16).padStart(length, '0')
}

function shortened(value: string): string {
  return value.length <= VALUE_LENGTH_MAX ? value : `${value.slice(0, VALUE_LENGTH_MAX)}...`
}
