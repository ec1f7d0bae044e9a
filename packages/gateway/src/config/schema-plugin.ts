import type { Static } from 'typebox'
import { Type } from 'typebox'
import { CATEGORIES } from '../protocol/generation.ts'
import { HOOK_TIMEOUT_DEFAULT_MS } from './limits.ts'
import {
  defaulted,
  ISOLATION,
  ON_FAILURE,
  PLUGIN_NAME,
  PRIORITY,
  record,
  TIMEOUT_MS,
  toJsonSchema,
} from './schema-parts.ts'

/** The file form of plugin.json, and of the entries under `plugins:` that refer to it. */

const AnyObject = (options: object) => Type.Unsafe<Record<string, unknown>>({ type: 'object', ...options })

const MANIFEST_SCHEMA = Type.Object(
  {
    $schema: Type.Optional(
      Type.String({ description: 'Where the JSON Schema of this file is; for editors.' }),
    ),
    name: Type.String({
      ...PLUGIN_NAME,
      description: 'Unique among all plugins; also the name of its instance unless the config gives another.',
    }),
    version: Type.String({
      format: 'semver',
      description: 'Version by semver.org; others depend on it by range.',
    }),
    description: defaulted(Type.String({ default: '', description: 'One sentence for lists.' })),
    entry_point: defaulted(
      Type.String({
        default: 'PluginMain',
        pattern: '^[A-Za-z_$][A-Za-z0-9_$]*$',
        patternErrorMessage: 'the name of an exported function',
        description: 'The exported function of the entry file that makes the middleware.',
      }),
    ),
    config: defaulted(
      AnyObject({
        default: {},
        description:
          "The plugin's own settings: the lowest layer, over which those of cardea.yaml are laid. ${…} is not replaced here.",
      }),
    ),
    enabled: defaulted(
      Type.Boolean({ default: true, description: 'False: the plugin is known, but runs on no route.' }),
    ),
    scope: defaulted(
      Type.Enum(['global', 'route'], {
        default: 'global',
        description: '"global": on every route. "route": only where a route names it.',
      }),
    ),
    category: defaulted(
      Type.Enum([...CATEGORIES], {
        default: 'transform',
        description: `The order of the chain: ${CATEGORIES.join(', ')}. It cannot be overridden.`,
      }),
    ),
    priority: defaulted(PRIORITY({ default: 100 })),
    config_schema: Type.Optional(
      Type.Unsafe<Record<string, unknown> | boolean>({
        type: ['object', 'boolean'],
        description:
          'JSON Schema 2020-12 of `config`, with the formats "duration" and "bytes" too. Unknown keys are errors unless it allows them. A value with `writeOnly: true` is a secret and never shown. Without it any config is taken.',
      }),
    ),
    dependencies: defaulted(
      record(PLUGIN_NAME, Type.String({ format: 'semver-range' }), {
        default: {},
        description: 'Plugins that this one needs: name to semver range, such as "^1.0.0".',
      }),
    ),
    permissions: defaulted(
      Type.Array(
        Type.String({
          pattern:
            '^(kv|sink|request:body)$|^net:(\\[[0-9A-Fa-f:.]+\\]|[^\\s:/\\[\\]]+):[0-9]{1,5}$|^net:config(/[^\\s/]+)+$',
          patternErrorMessage:
            'one of the permissions "kv", "sink", "request:body", "net:HOST:PORT" and "net:config/KEY"',
        }),
        {
          default: [],
          uniqueItems: true,
          description:
            'What the plugin may use of `host`: "kv"; "sink"; `fetch` by "net:api.example.com:443", or by "net:config/auth/url": the host of the URL (or URLs) that the instance\'s own config has at that key, which whoever writes the config grants. "request:body" may stand here and is not asked for yet: bodies can be read without it. Danger: grant no more than it needs.',
        },
      ),
    ),
    isolation: defaulted(ISOLATION({ default: 'none' })),
    timeout_ms: defaulted(TIMEOUT_MS({ default: HOOK_TIMEOUT_DEFAULT_MS })),
    on_failure: Type.Optional(
      ON_FAILURE(
        'What happens to an exchange whose hook fails: "closed" answers 503, "open" goes on without the plugin, { fallback } answers with that response. Default: "open" for observe and cache, "closed" for all others. Danger: "open" lets requests pass unchecked, so a security plugin may not have it.',
      ),
    ),
  },
  {
    additionalProperties: false,
    title: 'plugin.json',
    description: 'What a plugin is called, how it runs, and what it may use.',
  },
)

export const MANIFEST_JSON_SCHEMA = toJsonSchema(MANIFEST_SCHEMA)

/** plugin.json with defaults applied. */
export type ManifestFile = Static<typeof MANIFEST_SCHEMA>

const PLUGIN_SETTINGS = Type.Object(
  {
    plugin: Type.Optional(
      Type.String({
        ...PLUGIN_NAME,
        description: "The plugin of this instance. Default: the plugin that has the instance's name.",
      }),
    ),
    config: Type.Optional(
      AnyObject({
        description:
          "The plugin's own settings, laid over those of the layers below: objects merge, arrays replace, null resets.",
      }),
    ),
    priority: Type.Optional(PRIORITY({})),
    timeout_ms: Type.Optional(TIMEOUT_MS({})),
    on_failure: Type.Optional(
      ON_FAILURE(
        'As in plugin.json: "closed", "open" or { fallback }. Danger: "open" lets requests pass unchecked, so a security plugin may not have it.',
      ),
    ),
    isolation: Type.Optional(ISOLATION({})),
    enabled: Type.Optional(
      Type.Boolean({ description: 'False: the instance is known here, but does not run.' }),
    ),
  },
  {
    additionalProperties: false,
    unknownKeyHint: 'The settings of the plugin itself stand under "config".',
    description: 'Switches the instance on here, or changes it.',
  },
)

export const PLUGIN_SETTING_NAMES: readonly string[] = Object.keys(PLUGIN_SETTINGS.properties)

const PLUGIN_ENTRY = Type.Union([
  Type.Literal(false, { description: 'Switches the instance off here. Danger: also a security plugin.' }),
  PLUGIN_SETTINGS,
])

export type PluginEntry = Static<typeof PLUGIN_ENTRY>

export const PLUGIN_ENTRIES = (description: string) =>
  record(PLUGIN_NAME, PLUGIN_ENTRY, { description, default: {} })
