// Types of the console's modules. Those of the API are in api.d.ts, which
// openapi-typescript makes of the OpenAPI document whenever .ci/run checks them.

type paths = import("./api").paths;

// An object of the API by the name of its schema, such as API["Delivery"].
type API = import("./api").components["schemas"];

type Verb = "GET" | "POST" | "PATCH" | "DELETE";

// The addresses of a path of the document: /v1/sources/{id} is /sources/${string}.
type Address<K> = K extends `/v1${infer Rest}` ? Filled<Rest> : never;
type Filled<K> = K extends `${infer Before}{${string}}${infer After}` ? `${Before}${string}${Filled<After>}` : K;

// The path of the document that an address is of.
type PathOf<A, K = keyof paths> = K extends keyof paths ? (Address<K> extends A ? (A extends Address<K> ? K : never) : never) : never;

// What the document says of a call; never if there is no such call.
type Operation<M extends Verb, A> = A extends unknown
  ? PathOf<A> extends infer K extends keyof paths
    ? paths[K] extends Record<Lowercase<M>, infer Op extends object>
      ? Op
      : never
    : never
  : never;

// The addresses that a call may have.
type Known<M extends Verb> = { [K in keyof paths]: paths[K] extends Record<Lowercase<M>, object> ? Address<K> : never }[keyof paths];

type JSONBody<T> = T extends { content: { "application/json": infer Body } } ? Body : never;
type QueryOf<Op> = Op extends { parameters: { query?: infer Q } } ? { [N in keyof Q]?: Q[N] | string | null } : never;
type BodyOf<Op> = Op extends { requestBody?: infer R } ? JSONBody<NonNullable<R>> : never;
type ResultOf<Op> = Op extends { responses: infer R }
  ? { [S in 200 | 201 | 202 | 204]: S extends keyof R ? (S extends 204 ? null : JSONBody<R[S]>) : never }[200 | 201 | 202 | 204]
  : never;

interface CallOptions<Op> {
  query?: QueryOf<Op>;
  body?: BodyOf<Op>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

// A row of the list at an address.
type RowOf<A> = ResultOf<Operation<"GET", A>> extends { data: (infer R)[] | null } ? R : never;

// What el and fill take: what is empty is left out.
type Child = Node | string | number | false | null | undefined | Child[];

interface Column<R> {
  name: string;
  cell: (row: R) => Child;
  wide?: boolean;
}

interface Field<T = unknown> {
  name: string;
  node: HTMLElement;
  read: () => T | undefined;
}

// What each page gets.
interface PageContext {
  me: API["Me"];
  params: Record<string, string>;
  query: URLSearchParams;
  signal: AbortSignal;
}
