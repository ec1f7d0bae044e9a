import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const PLUGINS = new URL('../plugins/', import.meta.url)
/** What the plugins that stand still are copies of. */
const MODELS = ['tenant', 'client-kind', 'language', 'cache-hint', 'frame-options']
export const PLUGIN_COUNT = 20
export const WORKERS = 2
/** The content of every answer. */
export const BODY = 'ok'
/** One save of this many is one of config, the others are of code. */
const CONFIG_EVERY = 5

/** The files of a gateway with twenty plugins, of which `stamp` is the one that changes. */
export class Site {
  readonly #directory: string
  readonly #port: number
  #code = 0
  #config = 0

  private constructor(directory: string, port: number) {
    this.#directory = directory
    this.#port = port
  }

  static async create(directory: string, port: number): Promise<Site> {
    for (let index = 1; index < PLUGIN_COUNT; index++) await writeStandingPlugin(directory, index)
    const site = new Site(directory, port)
    await mkdir(join(directory, 'plugins/stamp'), { recursive: true })
    const schema = { type: 'object', properties: { value: { type: 'integer' } } }
    const manifest = { name: 'stamp', version: '1.0.0', config: { value: 0 }, config_schema: schema }
    await writeFile(join(directory, 'plugins/stamp/plugin.json'), JSON.stringify(manifest))
    await site.#saveCode()
    await site.#saveConfig()
    return site
  }

  get configFile(): string {
    return join(this.#directory, 'cardea.yaml')
  }

  /** What `stamp` puts on an answer once the last save is live. */
  get mark(): string {
    return `${this.#code}.${this.#config}`
  }

  /** Saves one file. */
  async save(): Promise<void> {
    if ((this.#code + this.#config) % CONFIG_EVERY === CONFIG_EVERY - 1) {
      this.#config++
      await this.#saveConfig()
    } else {
      this.#code++
      await this.#saveCode()
    }
  }

  #saveCode(): Promise<void> {
    return writeFile(join(this.#directory, 'plugins/stamp/plugin.ts'), stampText(this.#code))
  }

  #saveConfig(): Promise<void> {
    return writeFile(this.configFile, configText(this.#port, this.#config))
  }
}

async function writeStandingPlugin(directory: string, index: number): Promise<void> {
  const model = new URL(`${MODELS[index % MODELS.length]}/`, PLUGINS)
  const name = `plugin-${index}`
  const folder = join(directory, 'plugins', name)
  await cp(model, folder, { recursive: true })
  const manifest = JSON.parse(await readFile(join(folder, 'plugin.json'), 'utf8')) as object
  await writeFile(join(folder, 'plugin.json'), JSON.stringify({ ...manifest, name }))
  const file = join(folder, 'plugin.ts')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(/name: '[a-z-]+'/, `name: '${name}'`))
}

function stampText(code: number): string {
  return `import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main<{ value: number }> = ({ value }) => ({
  name: 'stamp',
  handle(ctx) {
    ctx.response.headers.set('x-mark', '${code}.' + value)
    return true
  },
})
`
}

function configText(port: number, value: number): string {
  return `listen: [{ host: 127.0.0.1, port: ${port} }]
workers: ${WORKERS}
log: { level: warn }
routes:
  - { name: all, path: "/*", respond: { status: 200, body: ${BODY} } }
plugins:
  stamp: { config: { value: ${value} } }
`
}
