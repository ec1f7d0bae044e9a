import { GatewayError } from '../base/errors.ts'
import type { ControlCommand, ControlRequest } from '../protocol/control.ts'

/** A name, a user, a hash: no longer than anything of ours. */
const TEXT_LENGTH_MAX = 200
const HISTORY_MAX = 1_000

export type ParsedRequest =
  | { readonly ok: true; readonly request: ControlRequest }
  /** `id` is 0 where the line has none. */
  | { readonly ok: false; readonly id: number; readonly error: GatewayError }

type Fields = Readonly<Record<string, unknown>>

/** Reads one line. What it returns has the fields of the protocol and no others. */
export function parseRequest(line: string): ParsedRequest {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return refused(0, 'it is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refused(0, 'it is not a JSON object')
  }
  const fields = value as Fields
  const { id } = fields
  if (!Number.isSafeInteger(id) || (id as number) <= 0)
    return refused(0, '"id" is not a positive whole number')
  try {
    const request = { id: id as number, who: textOf(fields, 'who'), ...commandOf(fields) }
    return { ok: true, request }
  } catch (thrown) {
    return refused(id as number, thrown instanceof Wrong ? thrown.message : 'it cannot be read')
  }
}

class Wrong extends Error {}

function refused(id: number, why: string): ParsedRequest {
  return {
    ok: false,
    id,
    error: new GatewayError('CONTROL_REQUEST_INVALID', `Cannot read the request: ${why}.`),
  }
}

function commandOf(fields: Fields): ControlCommand {
  const command = textOf(fields, 'command') as ControlCommand['command']
  switch (command) {
    case 'status':
      return { command }
    case 'approve':
      return fields.heldId === undefined ? { command } : { command, heldId: textOf(fields, 'heldId') }
    case 'history':
      return { command, limit: integerOf(fields, 'limit', 1, HISTORY_MAX) }
    case 'rollback':
    case 'config-diff':
      return { command, generation: generationOf(fields) }
    case 'release':
      return { command, unit: optionalTextOf(fields, 'unit') }
    case 'plugin-rollback':
      return { command, plugin: textOf(fields, 'plugin'), version: optionalTextOf(fields, 'version') }
    case 'plugin-versions':
    case 'plugin-enable':
    case 'plugin-disable':
    case 'plugin-reload':
    case 'plugin-info':
      return { command, plugin: textOf(fields, 'plugin') }
    case 'watch': {
      const { traces } = fields
      if (typeof traces !== 'boolean') throw new Wrong('"traces" is neither true nor false')
      return { command, traces }
    }
    default: {
      const unknown: never = command
      throw new Wrong(`"command" is ${JSON.stringify(unknown)}, which is none`)
    }
  }
}

/** Printable, since it gets into logs and onto terminals. */
function textOf(fields: Fields, key: string): string {
  const value = fields[key]
  if (typeof value !== 'string' || value === '') throw new Wrong(`"${key}" is not a text`)
  if (value.length > TEXT_LENGTH_MAX) throw new Wrong(`"${key}" is longer than ${TEXT_LENGTH_MAX} characters`)
  if (/[\x00-\x1f\x7f-\x9f]/.test(value)) throw new Wrong(`"${key}" holds control characters`)
  return value
}

function optionalTextOf(fields: Fields, key: string): string | null {
  return fields[key] === null ? null : textOf(fields, key)
}

function generationOf(fields: Fields): number | null {
  return fields.generation === null ? null : integerOf(fields, 'generation', 1, Number.MAX_SAFE_INTEGER)
}

function integerOf(fields: Fields, key: string, min: number, max: number): number {
  const value = fields[key]
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max)
    return value as number
  throw new Wrong(`"${key}" is not a whole number from ${min} to ${max}`)
}
