/** A repository's name has slashes in it; what it may be otherwise is checked when the endpoint is known. */
const REPOSITORY = "/v2/:name{[^]+}";

/** The paths of OCI distribution-spec 1.1, "Endpoints", as routes. */
export const BASE: string = "/v2/";
export const CATALOG: string = "/v2/_catalog";
export const TAGS: string = `${REPOSITORY}/tags/list`;
export const UPLOADS: string = `${REPOSITORY}/blobs/uploads/`;
export const UPLOAD: string = `${REPOSITORY}/blobs/uploads/:id`;
export const BLOB: string = `${REPOSITORY}/blobs/:digest`;
export const MANIFEST: string = `${REPOSITORY}/manifests/:reference`;
export const REFERRERS: string = `${REPOSITORY}/referrers/:digest`;

export const ENDPOINTS: readonly string[] = [BASE, CATALOG, TAGS, UPLOADS, UPLOAD, BLOB, MANIFEST, REFERRERS];
