/** What a plugin's README shows, in the form in which a test can run it. */

export interface ReadmeExample {
  /** The text of the ```yaml block: a config file, or the part of one that the README is about. */
  readonly config: string
  /** Of the ```sh block that follows before the next ```yaml block. */
  readonly commands: readonly ReadmeCommand[]
}

export interface ReadmeCommand {
  readonly line: string
  /** The comment lines below the command: what it prints, among other lines. `…` at the end stands for any rest. */
  readonly prints: readonly string[]
}

const BLOCK = /^```(yaml|sh)\n(.*?)^```$/gms

/** The examples of a README in its order. Throws an Error on commands that belong to no config. */
export function examplesOf(markdown: string): ReadmeExample[] {
  const examples: { config: string; commands: ReadmeCommand[] }[] = []
  for (const [, kind, text = ''] of markdown.matchAll(BLOCK)) {
    if (kind === 'yaml') examples.push({ config: text, commands: [] })
    else {
      const example = examples.at(-1)
      if (example === undefined) throw new Error(`These commands follow no config:\n${text}`)
      example.commands.push(...commandsOf(text))
    }
  }
  return examples
}

/** The commands of a `sh` block. */
export function commandsOf(text: string): ReadmeCommand[] {
  const commands: { line: string; prints: string[] }[] = []
  // A command goes on after a backslash at the end of its line.
  for (const line of text.replaceAll(/\\\n\s*/g, '').split('\n')) {
    if (line.trim() === '') continue
    if (!line.startsWith('#')) commands.push({ line, prints: [] })
    else if (commands.length > 0) commands.at(-1)?.prints.push(line.replace(/^#\s?/, ''))
  }
  return commands
}

/** The lines of `prints` that `output` lacks. */
export function missingFrom(output: string, prints: readonly string[]): string[] {
  const lines = output.split(/\r?\n/)
  return prints.filter((line) =>
    line.endsWith('…') ? !lines.some((given) => given.startsWith(line.slice(0, -1))) : !lines.includes(line),
  )
}

const DEFAULTS = {
  listen: 'listen: [{ host: 127.0.0.1, port: 8080 }]',
  upstreams: 'upstreams: { app: { targets: ["http://127.0.0.1:3000"] } }',
  routes: 'routes: [{ name: app, path: /*, upstream: app }]',
}

/**
 * The config file of an example: what the README leaves out is added (a listener on port 8080, an upstream on port 3000,
 * one route to it), and the two ports are those of the test.
 */
export function configFileOf({ config }: ReadmeExample, port: number, upstreamPort: number): string {
  const added = Object.entries(DEFAULTS).flatMap(([key, line]) =>
    new RegExp(`^${key}:`, 'm').test(config) ? [] : [line],
  )
  return withPorts(`${[...added, config].join('\n')}`, port, upstreamPort)
}

export function withPorts(text: string, port: number, upstreamPort: number): string {
  return text.replaceAll(/\b8080\b/g, String(port)).replaceAll(/\b3000\b/g, String(upstreamPort))
}

/** The options of a config_schema, those inside of others included, each once. */
export function optionsOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  const names = new Set<string>()
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties' && typeof value === 'object' && value !== null) {
      for (const name of Object.keys(value)) names.add(name)
    }
    for (const name of key === 'default' || key === 'examples' ? [] : optionsOf(value)) names.add(name)
  }
  return [...names]
}

/** Paths of the properties of a config_schema that have no description. */
export function undescribed(schema: unknown, path = 'config_schema'): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  return Object.entries(schema).flatMap(([key, value]) => {
    if (key !== 'properties' || typeof value !== 'object' || value === null) return undescribed(value, path)
    return Object.entries(value).flatMap(([name, property]) => [
      ...(hasDescription(property) ? [] : [`${path}.${name}`]),
      ...undescribed(property, `${path}.${name}`),
    ])
  })
}

function hasDescription(property: unknown): boolean {
  return typeof property === 'object' && property !== null && 'description' in property
}
