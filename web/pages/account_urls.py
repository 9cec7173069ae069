"""URLs of the pages about accounts."""

from __future__ import annotations

from django.urls import path

from web.pages import audit, own_sessions, profile, roles, sign_in, users

urlpatterns = [
    path("sign-in/", sign_in.sign_in, name="sign-in"),
    path("sign-out/", sign_in.sign_out, name="sign-out"),
    # The same pages under the names that django-allauth reverses.
    path("sign-in/", sign_in.sign_in, name="account_login"),
    path("sign-out/", sign_in.sign_out, name="account_logout"),
    path("profile/password/", sign_in.change_password, name="account_change_password"),
    path("profile/", profile.profile, name="profile"),
    path("profile/theme/", profile.theme, name="theme"),
    path("profile/password/", sign_in.change_password, name="password"),
    path("profile/tokens/<int:pk>/revoke/", profile.revoke, name="token-revoke"),
    path("profile/sessions/", own_sessions.sessions, name="sessions"),
    path("profile/sessions/end/", own_sessions.end_others, name="sessions-end"),
    path("profile/sessions/browser/<int:pk>/end/", own_sessions.end_browser, name="session-end"),
    path("profile/sessions/api/<int:pk>/end/", own_sessions.end_api, name="api-session-end"),
    path("users/", users.users, name="users"),
    path("users/create/", users.create_user, name="user-create"),
    path("users/<int:pk>/", users.edit_user, name="user-edit"),
    path("users/<int:pk>/switch/", users.switch_user, name="user-switch"),
    path("users/<int:pk>/password/", users.reset_password, name="user-password"),
    path("roles/", roles.roles, name="roles"),
    path("roles/create/", roles.edit_role, name="role-create"),
    path("roles/<int:pk>/", roles.edit_role, name="role-edit"),
    path("roles/<int:pk>/delete/", roles.delete_role, name="role-delete"),
    path("audit-log/", audit.events, name="audit-log"),
    path("audit-log/export.<str:form>", audit.export, name="audit-export"),
]
