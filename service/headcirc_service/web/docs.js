/* global SwaggerUIBundle */
// Swagger UI lies beside this page: documentation needs no other host. Without its validator badge,
// which would send the document away.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
