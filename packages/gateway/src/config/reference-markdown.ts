import type { ErrorKind } from '../base/error-kinds.ts'
import { ERRORS } from '../base/errors.ts'
import { describeSchema, listOf } from './describe.ts'
import { isObject } from './pointer.ts'

/** The reference pages, made from the schemas and the error table, so that they cannot say something else. */

type Schema = Readonly<Record<string, unknown>>

const NOTICE =
  '<!-- Made by packages/gateway/src/config/generate-reference.ts; change the schema, not this page. -->'

/** A page with one table per object of the schema, each followed by those of the objects in it. */
export function schemaPage(title: string, intro: string, schema: Schema): string {
  const sections = sectionsOf('', schema, new Map())
  return `${NOTICE}\n\n# ${title}\n\n${intro}\n\n${sections.join('\n\n')}\n`
}

/** @param known what has its section already, by its JSON: the same keys are listed once. */
function sectionsOf(path: string, object: Schema, known: Map<string, string>): string[] {
  const heading = path === '' ? '' : `## \`${path}\`\n\n`
  const text = typeof object.description === 'string' && path !== '' ? `${object.description}\n\n` : ''
  const id = JSON.stringify(object)
  const other = known.get(id)
  if (other !== undefined) return [`${heading}${text}The same keys as ${link(other)}.`]
  known.set(id, path)
  const inner = propertiesOf(object).flatMap(([key, member]) => objectsIn(join(path, key), member))
  return [
    `${heading}${text}${tableOf(path, object)}`,
    ...inner.flatMap(([at, member]) => sectionsOf(at, member, known)),
  ]
}

function tableOf(path: string, object: Schema): string {
  const required = Array.isArray(object.required) ? object.required : []
  const rows = propertiesOf(object).map(([key, member]) => {
    const fallback = required.includes(key) ? 'required' : defaultOf(member)
    const description = String(member.description ?? '')
    return `| \`${key}\` | ${cell(typeOf(join(path, key), member))} | ${cell(fallback)} | ${cell(description)} |`
  })
  return ['| key | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

function propertiesOf(schema: Schema): [string, Schema][] {
  const properties = isObject(schema.properties) ? Object.entries(schema.properties) : []
  return properties.flatMap(([key, member]) => (isObject(member) ? [[key, member]] : []))
}

/** The objects with keys of their own that a value holds, with the path that leads to them. */
function objectsIn(path: string, schema: Schema): [path: string, schema: Schema][] {
  if (isObject(schema.properties)) return [[path, schema]]
  if (isObject(schema.items)) return objectsIn(`${path}[]`, schema.items)
  if (isObject(schema.additionalProperties)) return objectsIn(`${path}.NAME`, schema.additionalProperties)
  const branches: readonly unknown[] = Array.isArray(schema.anyOf) ? schema.anyOf : []
  return branches.flatMap((branch) => (isObject(branch) ? objectsIn(path, branch) : []))
}

function typeOf(path: string, schema: Schema): string {
  if (isObject(schema.items)) return `list of: ${typeOf(`${path}[]`, schema.items)}`
  if (isObject(schema.properties)) return link(path)
  if (isObject(schema.additionalProperties)) {
    return `by name: ${typeOf(`${path}.NAME`, schema.additionalProperties)}`
  }
  const branches: readonly unknown[] = Array.isArray(schema.anyOf) ? schema.anyOf : []
  if (branches.length > 0) {
    return listOf(branches.flatMap((branch) => (isObject(branch) ? [typeOf(path, branch)] : [])))
  }
  const least = typeof schema.formatMinimum === 'string' ? `, at least ${schema.formatMinimum}` : ''
  if (schema.format === 'duration') return `duration${least}`
  return schema.format === 'bytes' ? `size${least}` : describeSchema(schema)
}

function link(path: string): string {
  return `[\`${path}\`](#${anchor(path)})`
}

function defaultOf(schema: Schema): string {
  return 'default' in schema ? `\`${JSON.stringify(schema.default)}\`` : ''
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

/** As GitHub makes anchors from headings. */
function anchor(heading: string): string {
  return heading.toLowerCase().replaceAll(/[^a-z0-9_-]/g, '')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

const SOURCES: Readonly<Record<ErrorKind['source'], string>> = {
  client: 'Requests and clients',
  gateway: 'The gateway itself',
  upstream: 'Upstreams',
  plugin: 'Plugins at run time',
  config: 'Config files and plugin folders',
}

const RETRIES: Readonly<Record<ErrorKind['retry'], string>> = {
  never: 'sending the same request again does not help',
  idempotent: 'idempotent requests may be sent again',
  always: 'the request may be sent again',
}

/** Every code with its meaning, grouped by whose fault it is. */
export function errorsPage(): string {
  const groups = (Object.keys(SOURCES) as ErrorKind['source'][]).map((source) => {
    const codes = Object.entries<ErrorKind>(ERRORS).filter(([, kind]) => kind.source === source)
    return [`## ${SOURCES[source]}`, ...codes.map(([code, kind]) => errorSection(code, kind))].join('\n\n')
  })
  const intro =
    'Every code that Cardea reports: in problem bodies (RFC 9457), in logs, in `onError` and on the command line.'
  return `${NOTICE.replace('the schema', 'base/errors.ts')}\n\n# Errors\n\n${intro}\n\n${groups.join('\n\n')}\n`
}

function errorSection(code: string, kind: ErrorKind): string {
  const status =
    kind.status === 0 ? 'No exchange is involved' : `Status ${kind.status}; ${RETRIES[kind.retry]}`
  return `### ${code}\n\n${kind.title}. ${status}.\n\n- Cause: ${kind.cause}\n- Cure: ${kind.cure}`
}

/** Every code with what it means and what helps, for people who look for one; the reference page says more. */
export function errorsIndex(): string {
  const groups = (Object.keys(SOURCES) as ErrorKind['source'][]).map((source) => {
    const codes = Object.entries<ErrorKind>(ERRORS).filter(([, kind]) => kind.source === source)
    const rows = codes.map(([code, { title, cause, cure }]) => {
      const name = `[${code}](../reference/errors.md#${anchor(code)})`
      return `| ${name} | ${cell(`${title}. ${cause}`)} | ${cell(cure)} |`
    })
    return [`### ${SOURCES[source]}`, '', '| code | cause | cure |', '| --- | --- | --- |', ...rows].join(
      '\n',
    )
  })
  return groups.join('\n\n')
}
